"""The demonstration's world holds what it promises: tests with the real kernel, the real agents and a real target. They
need root, namespaces and loop devices, without which they are skipped and say why, and Debian's packages (deploy/setup).

usage: host_test.py BUILD_FOLDER [TEST...]"""

import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from by_hand import start_pool, stop_pool

from world import disks, processes, sweep
from world.layout import BLOCK_BYTES, POOLS, Layout, WorldError, pool_named
from world.machine import enter_command
from world.world import World, check_machine

SKIPPED = 77  # what ctest is told by SKIP_RETURN_CODE
WORLD = "test"
PATIENCE_S = 20
BUILD_FOLDER = ""


def why_skipped():
    """What of the kernel this machine lacks."""
    try:
        check_machine()
    except WorldError as error:
        return str(error)
    return ""


def what_is_missing():
    tools = ("tgtd", "mkfs.xfs", "mkfs.ext4", "ip", "fuser", "modprobe", "losetup", "nsenter")
    missing = [tool for tool in tools if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if not os.path.exists("/usr/lib/ocf/resource.d/heartbeat/iSCSITarget"):
        missing.append("resource-agents")
    return f"not installed: {', '.join(missing)} (deploy/setup --for demo)" if missing else ""


def wait_until(condition, what):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"waited {PATIENCE_S} s in vain until {what}")
        time.sleep(0.02)


class WorldTest(unittest.TestCase):
    """A world without the cluster, both nodes on."""

    def setUp(self):
        self.world = World(BUILD_FOLDER, WORLD, cluster=False)
        self.addCleanup(self.world.destroy)
        self.world.claim()
        self.world.build()
        for machine in self.world.machines.values():
            machine.power_on()
        for machine in self.world.machines.values():
            self.assertTrue(machine.wait_for("up", PATIENCE_S), f"{machine.node} did not come up")
        self.alpha = self.world.machines["alpha"]
        self.beta = self.world.machines["beta"]
        self.pool = pool_named("pool-a")

    def in_node(self, machine, script):
        done = machine.execute("sh", "-ec", script)
        self.assertEqual(done.returncode, 0, f"{script}: {done.stderr}")
        return done.stdout


class TheWatcher(WorldTest):
    def watch(self):
        self.world.watcher.start()
        wait_until(lambda: os.path.exists(self.world.layout.watch_log), "the watcher looks")

    def seen(self, node, what):
        return any(change["node"] == node and change["what"] == what and change["held"]
                   for change in self.world.watcher.changes())

    def test_sees_a_file_system_that_both_nodes_have_mounted(self):
        self.watch()
        for machine in (self.alpha, self.beta):
            start_pool(machine, self.pool, only=["fs"])
        wait_until(lambda: self.seen("alpha", "mount") and self.seen("beta", "mount"), "both mounts are seen")
        time.sleep(0.1)  # the split brain itself, not a wait for it
        result = self.world.watcher.finish()
        self.assertGreater(result["pools"]["pool-a"]["two_owners_ms"], 0)
        self.assertEqual(result["pools"]["pool-b"]["two_owners_ms"], 0)

    def test_sees_an_address_that_both_nodes_have(self):
        self.watch()
        for machine in (self.alpha, self.beta):
            start_pool(machine, self.pool, only=["address"])
        wait_until(lambda: self.seen("alpha", "address") and self.seen("beta", "address"), "both addresses are seen")
        self.assertGreater(self.world.watcher.finish()["pools"]["pool-a"]["two_owners_ms"], 0)

    def test_sees_one_owner_at_a_time_when_a_pool_is_handed_over(self):
        self.watch()
        start_pool(self.alpha, self.pool)
        stop_pool(self.alpha, self.pool)
        start_pool(self.beta, self.pool)
        for node in ("alpha", "beta"):
            for what in ("mount", "address", "lun"):
                wait_until(lambda n=node, w=what: self.seen(n, w), f"{node} is seen with the {what}")
        result = self.world.watcher.finish()
        self.assertEqual(result["pools"]["pool-a"]["two_owners_ms"], 0)
        self.assertGreater(result["samples"], 100)


class PowerOff(WorldTest):
    def fence(self, action, node="alpha"):
        """Through the fence agent, in the other node, as hapaird runs it."""
        done = subprocess.run(enter_command(self.beta.pid, ["fence_demo"]), input=f"action={action}\nplug={node}\n",
                              capture_output=True, text=True, check=False, timeout=60)
        return done.returncode

    def test_loses_what_was_not_flushed_and_keeps_what_was(self):
        for pool in POOLS:
            start_pool(self.alpha, pool, only=["fs"])
            self.in_node(self.alpha, f"dd if=/dev/urandom of={pool.directory}/flushed bs=64k count=4 conv=fsync 2>&1; "
                                     f"sync {pool.directory}; "
                                     f"dd if=/dev/urandom of={pool.directory}/unflushed bs=64k count=4 2>&1")
        self.alpha.cut_power()
        for pool in POOLS:
            start_pool(self.beta, pool, only=["fs"])
            sizes = self.in_node(self.beta, f"for f in flushed unflushed; do stat -c %s {pool.directory}/$f 2>/dev/null "
                                            "|| echo 0; done").split()
            self.assertEqual(sizes, [str(256 * 1024), "0"], pool.filesystem)

    def test_answers_only_when_nothing_of_the_node_is_left(self):
        start_pool(self.alpha, self.pool)
        devices = dict(self.alpha.devices)
        pid_namespace = self.alpha.pid_namespace
        self.assertEqual(self.fence("status"), 0)
        self.assertEqual(self.fence("off"), 0)
        self.assertEqual(processes.in_namespace(pid_namespace, "pid"), [])
        for pool in POOLS:
            self.assertFalse(os.path.exists(disks.superblock(pool, devices[pool.name])))
            self.assertIsNone(disks.backing_file(devices[pool.name]))
        self.assertFalse(os.path.exists(self.world.layout.netns_path("alpha")))
        self.assertFalse(self.world.network.is_plugged_in("alpha"))
        self.assertEqual(self.fence("status"), 2)
        self.assertEqual(self.fence("off"), 0, "a node that is off can be switched off again")

    def test_works_on_a_node_that_is_frozen(self):
        start_pool(self.alpha, self.pool)
        self.alpha.freeze()
        self.assertLessEqual({processes.state(pid) for pid in self.alpha.pids()}, {"T", "Z"})
        self.assertEqual(self.fence("off"), 0)
        self.assertEqual(self.fence("status"), 2)

    def test_ends_an_operators_shell_in_the_node_too(self):
        start_pool(self.alpha, self.pool, only=["fs"])
        with subprocess.Popen(enter_command(self.alpha.pid, ["sh", "-c", f"cd {self.pool.directory}; echo in; sleep 1000"]),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as shell:
            self.assertEqual(shell.stdout.readline(), b"in\n")
            self.assertEqual(self.fence("off"), 0)
            self.assertNotEqual(shell.wait(PATIENCE_S), 0)

    def test_refuses_a_plug_and_an_action_that_do_not_exist(self):
        self.assertEqual(self.fence("off", node="gamma"), 1)
        self.assertEqual(self.fence("explode"), 1)
        self.assertTrue(self.alpha.is_on)

    def test_leaves_a_node_that_boots_again_with_another_boot_id_and_its_own_disk(self):
        boot_id = self.in_node(self.alpha, "touch /var/lib/hapair/kept /run/gone; cat /run/boot-id")
        self.assertEqual(self.fence("off"), 0)
        self.assertEqual(self.fence("on"), 0)
        self.assertTrue(self.alpha.wait_for("up", PATIENCE_S))
        self.assertNotEqual(self.in_node(self.alpha, "cat /run/boot-id"), boot_id)
        self.in_node(self.alpha, "test -e /var/lib/hapair/kept && ! test -e /run/gone")

    def test_in_order_lets_the_pools_go_and_says_whether_to_boot_again(self):
        for reboot in (False, True):
            self.alpha.shut_down(reboot=reboot)
            self.alpha.supply.wait(PATIENCE_S)
            self.assertEqual(self.alpha.finish_end(), reboot)
            self.alpha.prove_off()
            self.alpha.power_on()
            self.assertTrue(self.alpha.wait_for("up", PATIENCE_S))


class TheSupervisor(WorldTest):
    def test_starts_a_service_again_that_was_killed(self):
        before = self.alpha.pids_of("tgtd")
        self.alpha.signal_program("tgtd", signal.SIGKILL)
        wait_until(lambda: self.alpha.pids_of("tgtd") not in ([], before), "tgtd runs again")


class TheClient(WorldTest):
    def setUp(self):
        super().setUp()
        start_pool(self.alpha, self.pool)
        self.client = self.world.clients["pool-a"]

    def write_some(self, count):
        self.client.start()

        def enough():
            self.client.look()
            return self.client.acknowledged() >= count
        wait_until(enough, f"{count} writes are acknowledged")
        self.client.ask_to_finish()
        return self.client.result()

    def keep_ledger(self):
        kept = self.world.layout.client(self.pool, "ledger.kept")
        shutil.copy(self.world.layout.client(self.pool, "ledger"), kept)
        return kept

    def copy_block(self, from_slot, to_slot):
        self.in_node(self.alpha, f"dd if={self.pool.backing} of={self.pool.backing} bs={BLOCK_BYTES} count=1 "
                                 f"skip={from_slot} seek={to_slot} conv=notrunc 2>&1")

    def test_finds_everything_that_it_was_promised(self):
        result = self.write_some(300)
        self.assertTrue(result["verified"])
        self.assertEqual(result["writes_lost"], 0)
        self.assertEqual(result["slots_checked"], result["writes_acknowledged"])

    def test_catches_a_lost_write_a_misplaced_one_and_a_torn_one(self):
        self.write_some(300)
        self.in_node(self.alpha, f"dd if=/dev/zero of={self.pool.backing} bs={BLOCK_BYTES} count=1 seek=7 conv=notrunc 2>&1")
        self.copy_block(from_slot=20, to_slot=21)
        self.in_node(self.alpha, f"printf x | dd of={self.pool.backing} bs=1 seek={30 * BLOCK_BYTES + 2000} conv=notrunc 2>&1")
        result = self.client.verify()
        self.assertEqual([lost["slot"] for lost in result["lost"]], [7, 21, 30])
        self.assertEqual([lost["found"] for lost in result["lost"]], ["empty", "the block of slot 20", "a torn block"])

    def test_is_not_fooled_by_blocks_of_an_older_run(self):
        older = self.write_some(400)
        self.in_node(self.alpha, f"cp {self.pool.backing} /tmp/older")
        newer = self.write_some(200)
        self.assertNotEqual(older["run"], newer["run"])
        self.assertEqual(newer["writes_lost"], 0)
        self.in_node(self.alpha, f"dd if=/tmp/older of={self.pool.backing} bs={BLOCK_BYTES} count=5 conv=notrunc 2>&1")
        result = self.client.verify()
        self.assertEqual(result["writes_lost"], 5)
        self.assertEqual(result["lost"][0]["found"], "write 1 of another run")

    def test_loses_nothing_when_the_power_fails_and_the_other_node_takes_over(self):
        self.client.start()

        def writes():
            self.client.look()
            return self.client.acknowledged() > 300
        wait_until(writes, "the client writes")
        cut_ns = self.alpha.cut_power()
        start_pool(self.beta, self.pool)

        def writes_again():
            self.client.look()
            return bool(self.client.outages_since(cut_ns))
        wait_until(writes_again, "the client writes again")
        self.client.ask_to_finish()
        result = self.client.result()
        self.assertTrue(result["verified"])
        self.assertEqual(result["writes_lost"], 0)
        self.assertEqual(len(result["outages"]), 1)

    def test_catches_acknowledgements_that_the_power_failure_made_worthless(self):
        """The same without FUA: the target acknowledges what only its page cache has. This must be seen as lost, or
        the test above proves nothing."""
        self.client.start("--without-fua")

        def writes():
            self.client.look()
            return self.client.acknowledged() > 300
        wait_until(writes, "the client writes")
        self.alpha.cut_power()
        start_pool(self.beta, self.pool)
        self.client.ask_to_finish()
        result = self.client.result()
        self.assertTrue(result["verified"])
        self.assertGreater(result["writes_lost"], 100)


class Cleanup(unittest.TestCase):
    """What a killed demonstration leaves behind."""

    OWNER = ("import sys; sys.path[:0] = sys.argv[1:3]\n"
             "from by_hand import start_pool\n"
             "from world.layout import POOLS\n"
             "from world.world import World\n"
             "import signal\n"
             "world = World(sys.argv[3], 'test', cluster=False)\n"
             "world.claim(); world.build(); world.watcher.start()\n"
             "for machine in world.machines.values(): machine.power_on()\n"
             "for machine in world.machines.values(): machine.wait_for('up', 20)\n"
             "start_pool(world.machines['alpha'], POOLS[0])\n"
             "world.clients['pool-a'].start()\n"
             "print('CARETAKER', world.caretaker.pid, flush=True)\n"
             "signal.pause()\n")

    def start_owner(self):
        here = os.path.dirname(os.path.abspath(__file__))
        demo = os.path.join(os.path.dirname(os.path.dirname(here)), "deploy", "demo")
        owner = subprocess.Popen(["/usr/bin/python3", "-B", "-c", self.OWNER, here, demo, BUILD_FOLDER],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(owner.stdout.close)
        words = owner.stdout.readline().split()
        self.assertEqual(words[:1], ["CARETAKER"])
        return owner, int(words[1])

    def left(self):
        layout = Layout(WORLD)
        left = [path for path in (layout.base, layout.shm) if os.path.exists(path)]
        left += [place for place in sweep.PLACES if os.path.exists(layout.netns_path(place))]
        return left + disks.attached_below(layout.images) + sweep.leftover_processes(layout)

    def test_happens_by_itself_when_the_owner_is_killed(self):
        owner, _ = self.start_owner()
        owner.kill()
        owner.wait()
        wait_until(lambda: not self.left(), "the caretaker has cleared everything away")

    def test_is_made_up_for_by_the_next_run_when_the_caretaker_was_killed_too(self):
        owner, caretaker = self.start_owner()
        os.kill(caretaker, signal.SIGKILL)
        owner.kill()
        owner.wait()
        self.assertNotEqual(self.left(), [])
        world = World(BUILD_FOLDER, WORLD, cluster=False)
        self.assertNotEqual(world.claim(), [])
        self.assertEqual(self.left(), [])
        world.destroy()

    def test_is_never_done_to_a_world_that_another_owns(self):
        owner, _ = self.start_owner()
        with self.assertRaisesRegex(WorldError, "another demonstration runs"):
            World(BUILD_FOLDER, WORLD, cluster=False).claim()
        World(BUILD_FOLDER, WORLD, cluster=False).destroy()
        self.assertNotEqual(self.left(), [])
        owner.kill()
        owner.wait()
        wait_until(lambda: not self.left(), "the caretaker has cleared everything away")


def main():
    global BUILD_FOLDER
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    reason = why_skipped()
    if reason:
        print(f"skipped: {reason}")
        return SKIPPED
    missing = what_is_missing()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    BUILD_FOLDER = os.path.abspath(sys.argv[1])
    outcome = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], exit=False, verbosity=2)
    return 0 if outcome.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
