"""usage: tests/interop/run quorum [--short] [--case C]... [--keep]

Arbiter corosync on real parts: two nodes in namespaces, each serving a pool over iSCSI to a client that never stops writing; a real
Corosync with corosync-qdevice on each, corosync-qnetd on a third, a watchdog, no fence device and no shared disk but the pools' own. A
watcher looks at mounts, addresses and open disks of both all the time, from outside.

  partition  every link between the two is cut, and alpha's to the quorum device: alpha stops its pool when its lease is over, and only
             then beta takes it; healed, it is given back
  tie        every link between the two is cut, and both reach the device: it gives its vote to alpha, which takes beta's pool
  moves      as tie, and then alpha loses the device, and so the vote, to beta
  device     corosync-qnetd dies: both say so, nothing moves; it is back
  corosync   Corosync on alpha is killed: alpha is freed from its lease and goes on; it is back, and with it the lease
  pause      every process of alpha but its process 1 is stopped (SIGSTOP): its watchdog ends it, and only then beta takes its pool

  --short      partition, device and corosync
  --case C     only this one (may be given again)
  --keep       keep logs and records in /var/tmp/hapair-quorum.kept

Order is asserted, that nobody waits less than it must, that no pool ever has two owners and that no acknowledged write is lost; how long
a thing takes is told only.
Exit status: 0 all went as it must, 1 it did not or could not run, 2 wrong usage, 77 skipped."""

import argparse
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "deploy", "demo"), os.path.join(ROOT, "tests", "host"), HERE]

# pylint: disable=wrong-import-position
import split  # noqa: E402
from demonstration import Ended, end_on_signals, say  # noqa: E402
from host_test import what_is_missing  # noqa: E402
from quorum_world import QuorumTimes, QuorumWorld  # noqa: E402
from world.layout import NODES, POOLS, WorldError, now_ns  # noqa: E402
from world.world import check_machine  # noqa: E402

SKIPPED = 77
CASES = ("partition", "tie", "moves", "device", "corosync", "pause")
SHORT = ("partition", "device", "corosync")
PATIENCE_S = 150
LOSER, WINNER, POOL = split.LOSER, split.WINNER, split.POOL


class Story(split.Story):
    WAIT_BEGINS = "vigil"

    def must_wait_ms(self):
        return self.pair.times.wait

    def wait(self, what, condition, patience_s=PATIENCE_S):
        super().wait(what, condition, patience_s)

    def bring_up(self):
        pair = self.pair
        found = pair.world.claim()
        if found:
            say(f"Cleared away what an earlier run left: {', '.join(found)}.")
        say("Making the disks, the networks and the nodes ...")
        pair.world.build()
        pair.build_witness()
        for node in NODES:
            pair.prepare_corosync(node)
        pair.world.watcher.start()
        for machine in pair.machines.values():
            machine.power_on()
        pair.starter.start()
        pair.keeper.start()
        for machine in pair.machines.values():
            if not machine.wait_for("up", PATIENCE_S):
                raise WorldError(f"{machine.node} did not come up")
        for client in pair.world.clients.values():
            client.start()
        self.well()
        say(pair.machines[LOSER].execute("hapair", "status").stdout.rstrip())
        checked = pair.machines[LOSER].execute("hapair", "check")
        said = " ".join(checked.stdout.split())
        self.expect(checked.returncode == 0 and "quorate, 3 of 3 votes, 2 needed, with the quorum device's" in said,
                    "hapair check tells how Corosync's votes stand there")
        say(pair.machines[LOSER].execute("corosync-quorumtool", "-s").stdout.rstrip())

    def well(self):
        """Both see each other, have the device's vote, and serve their own pool under a lease."""
        self.wait("both have the quorum device's vote",
                  lambda: all("with the quorum device's" in self.pair.quorum(node) for node in NODES))
        super().well()

    def heal(self):
        self.pair.join()
        for node in NODES:
            if self.pair.machines[node].is_on:
                self.pair.set_witness(node, True)
        say("All links are healed.")

    def partition(self):
        say(f"\npartition: {LOSER} loses its link to the quorum device, and every link between the two is cut.")
        pid = self.pair.machines[LOSER].pid
        since = now_ns()
        self.pair.set_witness(LOSER, False)
        self.pair.part()
        self.wait_for_takeover()
        records = {node: self.pair.records_since(node, since) for node in NODES}
        self.timeline(since)
        self.expect(self.taken(records[LOSER], "lease-lost"), f"{LOSER} saw that its lease was over")
        self.expect(self.taken(records[LOSER], "resource-stopped"), f"{LOSER} stopped {POOL} itself")
        self.expect(self.pair.machines[LOSER].is_on and self.pair.machines[LOSER].pid == pid, f"{LOSER} was not ended by its watchdog")
        self.one_side_at_a_time(since, records[WINNER])
        self.expect(not self.pair.changes_since(since, "pool-b"), f"{WINNER} went on with its own pool")
        self.read_back(f"served by {WINNER}")
        self.heal()
        self.wait_for_giveback()

    def tie(self):
        say("\ntie: every link between the two is cut, and both reach the quorum device.")
        since = now_ns()
        self.pair.part()
        self.wait(f"{LOSER} serves pool-b and its client writes there",
                  lambda: self.pair.holder(pool="pool-b")[0] == LOSER and self.pair.writes_since(self.pair.holder(pool="pool-b")[1], "pool-b"))
        self.timeline(since)
        lost = [record for record in self.pair.records_since(WINNER, since) if record["kind"] == "lease-lost"]
        permits = [record for record in self.pair.records_since(LOSER, since) if record["kind"] == "permit"]
        self.expect(lost and permits and lost[0]["when_ns"] < permits[0]["when_ns"],
                    f"{WINNER}'s lease was over before {LOSER} took its pool")
        self.expect([record["fields"]["permit"] for record in permits] == ["expired"], f"{LOSER} took it by a permit of kind expired")
        self.expect(not self.pair.changes_since(since, POOL), f"{LOSER} went on with its own pool")
        self.heal()
        self.wait("pool-b is back at its home", lambda: self.pair.holder(pool="pool-b")[0] == WINNER)
        self.well()

    def moves(self):
        say(f"\nmoves: every link between the two is cut; the quorum device gives its vote to {LOSER}, which then loses it.")
        since = now_ns()
        self.pair.part()
        self.wait(f"{LOSER} has the vote alone", lambda: "quorate, 2 of 3" in self.pair.quorum(LOSER))
        self.pair.set_witness(LOSER, False)
        self.wait_for_takeover()
        records = {node: self.pair.records_since(node, since) for node in NODES}
        self.timeline(since)
        self.one_side_at_a_time(since, records[WINNER])
        self.heal()
        self.wait_for_giveback()

    def device(self):
        say("\ndevice: corosync-qnetd is killed.")
        since = now_ns()
        self.pair.kill_qnetd()
        self.wait("both say that the quorum device gives no vote",
                  lambda: all("gives no vote here" in " ".join(self.pair.troubles(node)) for node in NODES))
        self.pair.pause(self.pair.times.over / 1000)
        self.expect(self.pair.under_leases() and not self.pair.changes_since(since), "both go on under their leases, and nothing moved")
        self.pair.start_qnetd()
        self.well()
        self.timeline(since)
        self.expect(not any(self.pair.troubles(node) for node in NODES), "it is back, and nothing is said against it")
        for node in NODES:
            self.expect(not self.kinds(self.pair.records_since(node, since), split.TAKING + split.STOPPING), f"{node} took and stopped nothing")

    def corosync(self):
        say(f"\ncorosync: Corosync on {LOSER} is killed.")
        since = self.pair.kill_corosync(LOSER)
        self.wait(f"{LOSER} is freed from its lease", lambda: not self.pair.pools(LOSER).get(POOL, {"leased": True})["leased"])
        self.pair.pause(self.pair.times.over / 1000)
        half = now_ns()
        self.wait("both clients still write", lambda: all(self.pair.writes_since(half, pool.name) for pool in POOLS))
        self.expect(not self.pair.changes_since(since), "both go on with their pools, and nothing moved")
        self.expect(self.pair.troubles(LOSER), f"{LOSER} says what is wrong: {'; '.join(self.pair.troubles(LOSER))}")
        self.pair.held.discard(LOSER)
        self.well()
        self.timeline(since)
        self.expect(not self.pair.changes_since(since), "it is back, and with it the leases; nothing moved")
        for node in NODES:
            self.expect(not self.kinds(self.pair.records_since(node, since), split.TAKING + split.STOPPING), f"{node} took and stopped nothing")

    def wait_for_giveback(self):
        super().wait_for_giveback()


def parse(argv):
    parser = argparse.ArgumentParser(usage=__doc__.splitlines()[0].removeprefix("usage: "), add_help=False)
    parser.add_argument("build_folder")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--case", action="append", choices=CASES, dest="cases")
    parser.add_argument("--keep", action="store_true")
    if "--help" in argv or "-h" in argv:
        print(__doc__)
        sys.exit(0)
    options = parser.parse_args(argv)
    options.cases = [case for case in CASES if case in (options.cases or (SHORT if options.short else CASES))]
    return options


def main(argv):
    options = parse(argv)
    try:
        check_machine()
    except WorldError as error:
        print(f"skipped: {error}")
        return SKIPPED
    if missing := what_is_missing():
        print(missing, file=sys.stderr)
        return 1
    began = time.monotonic()
    pair = QuorumWorld(options, options.build_folder, QuorumTimes(lease=6000, stop=3000, watchdog=2000))
    story = Story(pair)
    end_on_signals()
    try:
        story.bring_up()
        for case in options.cases:
            getattr(story, case)()
        story.finish()
        failed = [sentence for sentence, holds in story.points if not holds]
        say(f"\nquorum ({', '.join(options.cases)}): {story.told.get('acknowledged', 0)} writes acknowledged, {story.told.get('lost')} lost; "
            f"{len(story.points) - len(failed)} of {len(story.points)} as they must be; {time.monotonic() - began:.0f} s")
        return 1 if failed else 0
    except (WorldError, Ended) as error:
        print(f"quorum: {error}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # clearing away is not interrupted; it takes about a second
        kept = pair.end()
        if kept:
            say(f"Kept for a look: {kept}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
