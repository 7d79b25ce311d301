"""usage: tests/interop/run fencing [--case C]... [--keep]

fence_hapair as the first level of a Pacemaker's fencing topology, a power switch as the second: two nodes under a real Corosync and
Pacemaker, whose processes 1 are hapair-node-init, which ends a node whose watchdog is not fed. What ends so is switched on again, as a reset
machine boots. Success of the first level must rest on the node's next life.

  asked     stonith_admin --reboot beta, which is well: it resets itself, and is seen again
  corosync  beta's Corosync stands still (SIGSTOP): Pacemaker misses beta, and fences it by the first level; alpha gets its pool
  crash     beta loses its power: it cannot be told anything, so the first level fails and the power switch answers
  wrong     fence_hapair by hand: what it refuses, and what it says then

  --case C  only this one (may be given again)
  --keep    keep logs in /var/tmp/hapair-pacemaker.kept

Exit status: 0 all went as it must, 1 it did not or could not run, 2 wrong usage, 77 skipped."""

import argparse
import os
import signal
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "deploy", "demo"), os.path.join(ROOT, "tests", "host"), HERE]

# pylint: disable=wrong-import-position
from cluster_world import FENCING, ClusterWorld, configure  # noqa: E402
from demonstration import say  # noqa: E402
from pacemaker import Story, play  # noqa: E402
from split_world import BOOT_ID, ENDED_BY_WATCHDOG, WATCHDOG  # noqa: E402
from world.shape import Shape  # noqa: E402

TOKEN_MS = 1000
WATCHDOG_MS = 2000


def with_reset(node, configuration):
    configuration = configure(node, configuration)
    configuration["boot_id_file"] = BOOT_ID
    configuration["ccm"] |= {"watchdog": {"device": WATCHDOG, "timeout_ms": WATCHDOG_MS, "container_covers_pools": True},
                             "poison": {"bound_ms": 5000, "reset": "watchdog"}}
    return configuration


class FencingWorld(ClusterWorld):
    FENCES = FENCING + """<primitive id="poison" class="stonith" type="fence_hapair"><instance_attributes id="poison-i">
<nvpair id="poison-l" name="pcmk_host_list" value="alpha beta"/><nvpair id="poison-t" name="power_timeout" value="40"/>
</instance_attributes></primitive>"""
    TOPOLOGY = "<fencing-topology>" + "".join(
        f'<fencing-level id="{node}-{index}" target="{node}" index="{index}" devices="{device}"/>'
        for node in ("alpha", "beta") for index, device in ((1, "poison"), (2, "power"))) + "</fencing-topology>"

    def __init__(self, options, build_folder):
        super().__init__(options, build_folder, TOKEN_MS, Shape(watchdog=WATCHDOG, configure=with_reset))


class FencingStory(Story):
    def was_reset(self, since):
        """beta has ended by its watchdog and is switched on again; the proof, and not the order, was the answer."""
        machine = self.cluster.machines["beta"]
        self.wait("beta's watchdog has ended it", lambda: any(
            node == "beta" and when_ns >= since and f"status {ENDED_BY_WATCHDOG}:" in text for when_ns, node, text in self.cluster.keeper.log))
        self.expect(not self.answers(since, "is fenced"), "alpha does not say that beta is fenced before it is seen again")
        machine.power_on()
        self.wait("alpha says that beta is fenced", lambda: self.answers(since, "is fenced"))
        self.expect("is seen in another life of its kernel" in self.answers(since, "is fenced")[0], "the proof is beta's next life")
        self.expect(not [entry for entry in self.cluster.world.power.log if entry["from_ns"] >= since], "the power switch was not asked")

    def answers(self, since, words):
        return [record["text"] for record in self.cluster.records("alpha")
                if record["kind"] == "cluster-fence" and record["when_ns"] >= since and words in record["text"]]

    def asked(self):
        since = self.cluster.now()
        ended = []
        alpha = self.cluster.machines["alpha"]
        thread = threading.Thread(target=lambda: ended.append(alpha.execute("stonith_admin", "--reboot", "beta", timeout=100)), daemon=True)
        thread.start()
        self.was_reset(since)
        thread.join(100)
        self.expect(ended and ended[0].returncode == 0, f"stonith_admin answered success {ended[0].stderr.strip() if ended else '(nothing)'}")

    def corosync(self):
        since = self.cluster.now()
        self.cluster.machines["beta"].signal_program("corosync", signal.SIGSTOP)
        self.was_reset(since)
        self.taken("alpha", "pool-b", since)

    def crash(self):
        since = self.cluster.now()
        self.cluster.machines["beta"].cut_power()
        self.taken("alpha", "pool-b", since)
        self.expect(self.answers(since, "beta is not fenced"), f"the first level was asked, and said no: {self.answers(since, 'is not fenced')}")
        self.expect([entry for entry in self.cluster.world.power.log if entry["from_ns"] >= since and entry["node"] == "beta"],
                    "the power switch, the second level, answered")
        self.cluster.keeper.boot_later("beta", 0)

    def wrong(self):
        alpha = self.cluster.machines["alpha"]
        for words, status, sentence in (
                (("-o", "status"), 0, ""), (("-o", "monitor"), 0, ""), (("-o", "list"), 0, "beta"), (("-o", "validate-all"), 0, ""),
                (("-o", "metadata"), 0, "<resource-agent"), (("-o", "reboot", "-n", "alpha"), 1, "alpha is not fenced from here"),
                (("-o", "reboot"), 1, "which node?"), (("-o", "explode"), 1, 'no action "explode"'), (("--power-timeout", "soon"), 1, "a number of seconds"),
                (("--what",), 1, "unknown option"), (("-o", "status", "--config", "/nowhere"), 1, "/nowhere"),
                (("-o", "monitor", "--hapair", "/nowhere/hapair"), 1, "/nowhere/hapair is not there")):
            done = alpha.execute("fence_hapair", *words)
            said = done.stdout + done.stderr
            self.expect(done.returncode == status and sentence in said, f"fence_hapair {' '.join(words)}: {done.returncode} {said.strip()[:150]}")


CASES = ("wrong", "asked", "corosync", "crash")


def main(argv):
    parser = argparse.ArgumentParser(prog="tests/interop/run fencing", usage=__doc__.split("\n", maxsplit=1)[0].removeprefix("usage: "),
                                     description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(argv)

    def tell(story):
        say(f"both pools are promoted at home and both clients write (token {TOKEN_MS} ms).")
        for case in options.case or CASES:
            say(f"\n{case}:")
            getattr(story, case)()
            story.home_again()
    return play(lambda: FencingStory(FencingWorld(options, os.path.abspath(options.build))), tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
