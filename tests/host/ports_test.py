"""Clients' ports between two nodes in network namespaces: a log mirrored over them, with rails cut, a sender killed, ccmds
killed, and a rail of another fabric. Needs root; skipped without, and says why.

usage: ports_test.py BUILD_FOLDER [TEST...]"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

from iwarp_pair import NODES, PATIENCE_S, Pair, run_tests

BUILD_FOLDER = ""
RECORD = 65536


class Mirrored(unittest.TestCase):
    """A pair, and a mirror from alpha to beta."""
    RAILS = ("one", "two")
    NEAR = False

    @classmethod
    def setUpClass(cls):
        cls.pair = Pair(BUILD_FOLDER, cls.RAILS, cls.NEAR)
        cls.addClassCleanup(cls.pair.end)
        cls.pair.start_all()

    def setUp(self):
        for rail in self.pair.rails.values():
            rail.tell("both", "heal")
        for node in NODES:
            if self.pair.running[node, "ccmd"].poll() is not None:
                self.pair.start(node, "ccmd")
        self.pair.wait_connected(*self.RAILS, *(["near"] if self.NEAR else []))
        self.log = self.pair.path(f"{self.id()}.records")
        self.acknowledged = self.pair.path(f"{self.id()}.acknowledged")
        self.began = time.monotonic()

    def tearDown(self):
        print(f"  {self.id().rsplit('.', 1)[1]}: {time.monotonic() - self.began:.1f} s")
        for name in ("send", "receive"):
            for node in NODES:
                process = self.pair.running.pop((node, name), None)
                if process:
                    process.kill()
                    process.communicate()
        for node in NODES:
            self.pair.wait_until(lambda n=node: self.pair.ports_of(n) == [], f"the ports of {node} are gone")

    def receive(self):
        return self.pair.mirror("beta", "receive", "--log", self.log)

    def send(self, *arguments):
        return self.pair.mirror("alpha", "send", "--acknowledged", self.acknowledged, *arguments)

    def verify(self):
        answer = subprocess.run([f"{self.pair.build}/ccm/client/examples/mirror", "--json", "verify", "--log", self.log,
                                 "--acknowledged", self.acknowledged], capture_output=True, text=True, check=False)
        found = json.loads(answer.stdout)
        self.assertEqual(answer.returncode, 0, found)
        self.assertEqual(found["lost"], 0)
        return found

    def end_receiver(self):
        """What it printed."""
        receiver = self.pair.running["beta", "receive"]
        receiver.send_signal(signal.SIGINT)
        shown, _ = receiver.communicate(timeout=30)
        self.assertEqual(receiver.returncode, 0)
        return json.loads(shown)

    def wait_ready(self, rail=None):
        """The rail that carries the port: any, on a machine that is busy while they connect."""
        def ready(node):
            ports = self.pair.ports_of(node)
            return len(ports) == 1 and ports[0]["state"] == "ready" and rail in (None, ports[0]["rail"])
        self.pair.wait_until(lambda: all(ready(node) for node in NODES), f"the port is ready{' over ' + rail if rail else ''}")
        return self.pair.ports_of("alpha")[0]["rail"]

    def operations(self):
        return self.pair.ports_of("alpha")[0]["operations"]

    def wait_traffic(self, count=200, patience_s=PATIENCE_S):
        before = self.operations()
        self.pair.wait_until(lambda: self.operations() > before + count, "more records are mirrored", patience_s)


class MirrorOverTwoRails(Mirrored):
    def test_a_log_is_mirrored_acknowledged_and_verified(self):
        self.receive()
        sender = self.send("--records", "2000")
        shown, _ = sender.communicate(timeout=60)
        self.assertEqual(sender.returncode, 0)
        self.assertEqual(json.loads(shown)["taken"], 2000)
        self.assertEqual(self.end_receiver()["records"], 2000)
        self.assertEqual(self.verify()["acknowledged"], 2000)

    def test_a_killed_sender_leaves_every_acknowledged_record_with_its_partner(self):
        self.receive()
        sender = self.send()
        self.wait_ready()
        self.wait_traffic()
        sender.kill()
        self.pair.wait_until(lambda: self.pair.ports_of("beta")[0]["state"] == "waiting", "beta knows that the sender is gone")
        self.end_receiver()
        self.assertGreater(self.verify()["acknowledged"], 0)

    def test_a_killed_senders_successor_is_another_run(self):
        self.receive()
        sender = self.send()
        self.wait_ready()
        self.wait_traffic()
        sender.kill()
        sender.communicate()
        again = self.send("--records", "500")
        shown, _ = again.communicate(timeout=60)
        self.assertEqual(json.loads(shown)["taken"], 500)
        self.end_receiver()
        self.assertEqual(self.verify()["acknowledged"], 500)

    def test_a_cut_rail_under_a_running_mirror_moves_the_port_and_loses_nothing(self):
        self.receive()
        sender = self.send()
        cut = self.wait_ready()
        for way in ("both", "there", "back"):
            left = "two" if cut == "one" else "one"
            self.wait_traffic()
            self.pair.rails[cut].tell(way, "cut")
            self.wait_ready(left)
            self.wait_traffic()
            self.pair.rails[cut].tell("both", "heal")
            self.pair.wait_connected("one", "two")
            cut = left
        sender.send_signal(signal.SIGINT)
        shown, _ = sender.communicate(timeout=30)
        self.assertGreaterEqual(json.loads(shown)["moves"], 3)
        self.end_receiver()
        self.verify()

    def test_all_rails_cut_and_healed_goes_on_where_it_was(self):
        self.receive()
        sender = self.send()
        self.wait_ready()
        self.wait_traffic()
        for rail in self.pair.rails.values():
            rail.tell("both", "cut")
        self.pair.wait_until(lambda: self.pair.ports_of("alpha")[0]["state"] == "connecting", "no rail carries the port")
        for rail in self.pair.rails.values():
            rail.tell("both", "heal")
        self.wait_ready()
        self.wait_traffic()
        sender.send_signal(signal.SIGINT)
        sender.communicate(timeout=30)
        self.end_receiver()
        self.verify()

    def test_a_killed_ccm_of_the_receiver_is_survived_by_the_sender(self):
        self.receive()
        self.send()
        self.wait_ready()
        self.wait_traffic()
        self.pair.signal("beta", "ccmd", signal.SIGKILL)
        self.pair.running["beta", "receive"].communicate(timeout=30)
        self.pair.start("beta", "ccmd")
        self.pair.wait_connected("one", "two")
        self.receive()
        self.wait_ready()
        self.wait_traffic()
        self.pair.running["alpha", "send"].send_signal(signal.SIGINT)
        self.pair.running["alpha", "send"].communicate(timeout=30)
        self.end_receiver()
        self.verify()

    def test_a_lossy_rail_costs_time_and_no_record(self):
        self.receive()
        sender = self.send("--pause-ms", "5", "--patience-s", "90")
        self.pair.rails[self.wait_ready()].tell("both", "loss", "3")
        self.wait_traffic(1000, patience_s=120)
        sender.send_signal(signal.SIGINT)
        shown, _ = sender.communicate(timeout=120)
        told = json.loads(shown)
        self.assertGreaterEqual(told["taken"], 300)
        # The last may be in the receiver's memory when the sender is ended, and not yet taken out of it.
        self.assertGreaterEqual(told["acknowledged"], told["taken"])
        self.end_receiver()
        found = self.verify()
        self.assertEqual(found["acknowledged"], told["acknowledged"])
        self.assertGreaterEqual(found["last"], told["acknowledged"])

    def test_a_storage_that_stands_still_while_all_else_beats_is_told_and_goes_on(self):
        # The log is a pipe that nobody empties: its writes stop like those of a disk that does not answer.
        os.mkfifo(self.log)
        with open(os.open(self.log, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0) as disk:
            self.pair.mirror("beta", "receive", "--log", self.log, "--stall-limit-s", "0.5")
            self.send("--pause-ms", "2", "--records", "20")
            self.pair.wait_verdict("alpha", "storage-stalled")
            self.assertEqual(self.pair.verdict("beta"), "alive", "which is the partner's doing")
            status = json.loads(self.pair.hapair("alpha", "status", "--json").stdout)["partner_status"]
            client = next(client for client in status["clients"] if client["name"] == "mirror")
            self.assertTrue(client["stalled"])
            self.assertEqual(client["outstanding"], 1)
            self.assertIn("none completed", status["because"][-1]["fact"])
            taken = 0
            while taken < 20 * RECORD:
                taken += len(disk.read(1 << 20) or b"")
            self.pair.wait_verdict("alpha", "alive")

    def test_a_port_larger_than_all_that_can_be_had_is_refused_with_the_limit(self):
        process = self.pair.mirror("alpha", "receive", "--slots", "4096", "--record-bytes", str(1 << 24))
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        with open(self.pair.path("alpha-receive.log"), encoding="utf-8") as log:
            self.assertIn("allowed now: 4096 to 268435456 bytes", log.read())

    def test_storage_software_in_c_exchanges_messages_and_writes(self):
        def play(node, role):
            return subprocess.Popen([*self.pair.within(node), f"{self.pair.build}/ccm/client/examples/ping_pong",
                                     self.pair.path(f"run-{node}/ccm.sock"), role, "500"], stdout=subprocess.PIPE, text=True)
        players = [play("beta", "pong"), play("alpha", "ping")]
        shown = [player.communicate(timeout=60)[0] for player in players]
        self.assertEqual(shown, ["pong: 500 of 500 rounds\n", "ping: 500 of 500 rounds\n"])
        self.assertEqual([player.returncode for player in players], [0, 0])


class MirrorOverTwoFabrics(Mirrored):
    RAILS = ("one",)
    NEAR = True

    def test_a_port_moves_to_a_rail_of_another_fabric_and_loses_nothing(self):
        self.receive()
        sender = self.send()
        self.wait_ready("one")
        self.wait_traffic()
        self.pair.rails["one"].tell("both", "cut")
        self.wait_ready("near")
        self.wait_traffic()
        sender.send_signal(signal.SIGINT)
        sender.communicate(timeout=30)
        self.end_receiver()
        self.verify()


def use_build(folder):
    global BUILD_FOLDER
    BUILD_FOLDER = folder


if __name__ == "__main__":
    sys.exit(run_tests(use_build))
