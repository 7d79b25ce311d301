"""Two nodes over two rails of user-space iWARP in network namespaces, with rails cut, delayed and lossy. Needs root;
skipped without, and says why.

usage: iwarp_test.py BUILD_FOLDER [TEST...]"""

import signal
import sys
import time
import unittest

from iwarp_pair import NODES, Pair, run_tests

BUILD_FOLDER = ""


class IwarpRails(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = Pair(BUILD_FOLDER)
        cls.addClassCleanup(cls.pair.end)
        cls.pair.start_all()

    def setUp(self):
        for rail in self.pair.rails.values():
            rail.tell("both", "heal")
        for node in NODES:
            for program in ("ccmd", "hapaird"):
                if self.pair.running[node, program].poll() is not None:
                    self.pair.start(node, program)
        self.pair.wait_connected("one", "two")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")
        self.before = {node: len(self.pair.verdicts(node)) for node in NODES}
        self.began = time.monotonic()

    def tearDown(self):
        print(f"  {self.id().rsplit('.', 1)[1]}: {time.monotonic() - self.began:.1f} s")
        for node in NODES:
            for text in self.pair.verdicts(node)[self.before[node]:]:
                print(f"    {node}: {text}")

    def assert_nobody_doubted(self):
        for node in NODES:
            self.assertEqual(self.pair.verdicts(node)[self.before[node]:], [])

    def test_both_rails_are_read_and_measured(self):
        for node in NODES:
            for rail in self.pair.rails_of(node).values():
                self.assertEqual(rail["fabric"], "iwarp")
                self.assertGreater(rail["reads"], 0)
                self.assertGreater(rail["round_trip_mean_ns"], 0)
        self.assert_nobody_doubted()

    def test_a_cut_rail_is_told_and_the_partner_stays_alive_over_the_other(self):
        for way in ("both", "there", "back"):
            self.pair.rails["two"].tell(way, "cut")
            self.pair.wait_connected("one")
            self.assertIn(self.pair.rails_of("alpha")["two"]["last_error"], ("retry-exceeded", "disconnected"))
            self.pair.rails["two"].tell("both", "heal")
            self.pair.wait_connected("one", "two")
        self.assert_nobody_doubted()

    def test_a_delayed_rail_stays_connected_and_shows_its_delay(self):
        sessions = self.pair.rails_of("alpha")["one"]["sessions"]
        self.pair.rails["one"].tell("both", "delay", "10")
        self.pair.wait_until(lambda: self.pair.rails_of("alpha")["one"]["round_trip_mean_ns"] > 20_000_000,
                             "the round trips show the delay")
        time.sleep(1)
        self.assertEqual(self.pair.rails_of("alpha")["one"]["handshake"], "connected")
        self.assertEqual(self.pair.rails_of("alpha")["one"]["sessions"], sessions)
        self.assert_nobody_doubted()

    def test_a_lossy_rail_is_taken_up_again_and_never_makes_a_partner_dead(self):
        self.pair.rails["two"].tell("both", "loss", "20")
        self.pair.wait_until(lambda: self.pair.rails_of("alpha")["two"]["errors"] > 0, "operations fail on the lossy rail")
        time.sleep(3)
        self.assert_nobody_doubted()

    def test_all_rails_cut_is_unreachable_and_healed_is_alive(self):
        for rail in self.pair.rails.values():
            rail.tell("both", "cut")
        for node in NODES:
            self.pair.wait_verdict(node, "unreachable")
        for rail in self.pair.rails.values():
            rail.tell("both", "heal")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")

    def test_a_killed_ccm_is_gone_and_not_unreachable(self):
        self.pair.signal("beta", "ccmd", signal.SIGKILL)
        self.pair.wait_verdict("alpha", "ccm-gone")
        # The first error of each is that its connection ended; then nobody answers the next attempt.
        self.pair.wait_until(lambda: {rail["last_error"] for rail in self.pair.rails_of("alpha").values()} == {"not-listening"},
                             "nobody listens on either rail")

    def test_a_stopped_ccm_answers_nothing(self):
        """The memory of a user-space end is not there without its process: this is why ccmd is small and alone."""
        self.pair.signal("beta", "ccmd", signal.SIGSTOP)
        self.pair.wait_verdict("alpha", "unreachable")
        self.pair.signal("beta", "ccmd", signal.SIGCONT)
        self.pair.wait_verdict("alpha", "alive")

    def test_a_killed_agent_is_hung_and_its_ccm_is_not(self):
        self.pair.signal("beta", "hapaird", signal.SIGKILL)
        self.pair.wait_verdict("alpha", "agent-hung")
        self.assertEqual(self.pair.connected("alpha"), {"one", "two"})


def use_build(folder):
    global BUILD_FOLDER
    BUILD_FOLDER = folder


if __name__ == "__main__":
    sys.exit(run_tests(use_build))
