"""usage: tests/interop/run pacemaker [--case C]... [--token-ms N] [--keep]

Two nodes under a real Corosync and Pacemaker, with fencing; each serves a pool over iSCSI to a client that never stops writing. Pacemaker
decides where a pool is promoted, hapair obeys. After each case: what crm_mon says, what the watcher saw, what the clients wrote.

  crash        alpha loses its power: it is fenced, its pool is promoted on beta
  hang         every process of alpha stands still (SIGSTOP): likewise
  cut          alpha's cables are cut: one of the two is fenced, the other has both pools
  agent        alpha's hapaird is killed and restarted: nothing moves
  dead         alpha's hapaird is killed and nobody restarts it: its pool cannot be stopped, so alpha is fenced
  failure      a resource does not start on alpha: after two tries its pool is promoted on beta
  standby      crm_standby: alpha's pool is demoted there and promoted on beta
  maintenance  maintenance-mode, and alpha's hapaird is killed in it: nothing moves
  move         crm_resource --move: beta's pool is promoted on alpha

  --case C      only this one (may be given again)
  --token-ms N  Corosync's token (default 1000)
  --keep        keep logs in /var/tmp/hapair-pacemaker.kept

Order is asserted, and that no pool ever has two owners and no acknowledged write is lost; how long a thing takes is told only.
Exit status: 0 all went as it must, 1 it did not or could not run, 2 wrong usage, 77 skipped."""

import argparse
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "deploy", "demo"), os.path.join(ROOT, "tests", "host"), HERE]

# pylint: disable=wrong-import-position
from cluster_world import ClusterWorld  # noqa: E402
from demonstration import Ended, end_on_signals, say  # noqa: E402
from host_test import what_is_missing  # noqa: E402
from world import processes  # noqa: E402
from world.layout import NODES, POOLS, WorldError  # noqa: E402
from world.world import check_machine  # noqa: E402

SKIPPED = 77
PATIENCE_S = 120
STILL_S = 15  # two monitors of each clone and more
LARGEST_GAP_ALLOWED_MS = 500  # a proof with holes is none


class Story:
    def __init__(self, cluster):
        self.cluster = cluster
        self.points = []

    def expect(self, holds, sentence):
        self.points.append((sentence, bool(holds)))
        say(f"  {'ok  ' if holds else 'NOT '} {sentence}")

    def wait(self, what, condition, patience_s=PATIENCE_S):
        try:
            self.cluster.wait(what, patience_s, condition)
        except WorldError as error:
            raise WorldError(f"{error}\n{self.cluster.summary()}") from None

    def tell(self):
        say(f"       crm_mon: {self.cluster.summary()}")

    def home_again(self):
        """Both nodes are members, and each pool is moved home by the cluster's own command where it is not."""
        self.wait("both nodes are online", lambda: self.cluster.online() == set(NODES))
        for pool in POOLS:
            if self.cluster.promoted(pool.name) != [pool.home]:
                self.wait("the cluster is at rest", self.cluster.settled)
                self.cluster.tool("crm_resource", "--move", "--resource", f"{pool.name}-clone", "--node", pool.home, "--promoted")
            self.wait(f"{pool.name} is served by {pool.home}", lambda one=pool: self.cluster.serves(one.name, one.home))
            self.cluster.tool("crm_resource", "--clear", "--resource", f"{pool.name}-clone")
        self.wait("the cluster is at rest", self.cluster.settled)

    def taken(self, node, pool, since_ns):
        """`pool` of a node that was fenced is on the other: the nodes that were."""
        self.wait(f"{pool} is served by {node}", lambda: self.cluster.serves(pool, node))
        self.tell()
        fenced = self.cluster.fenced_since(since_ns)
        permits = [record for record in self.cluster.records(node) if record["kind"] == "permit" and record["pool"] == pool and
                   record["when_ns"] >= since_ns]
        self.expect(permits, f"{node} took {pool} by a permit of kind {', '.join(record['fields']['permit'] for record in permits)}, "
                             f"{(permits[0]['when_ns'] - since_ns) / 1e6 if permits else 0:.0f} ms after the fault")
        return fenced

    def explained(self, node, pool, since_ns, expected):
        """`hapair why` there, of how it got the pool, names what Pacemaker decided, in the order of time."""
        permits = [record for record in self.cluster.records(node) if record["kind"] == "permit" and record["pool"] == pool and
                   record["when_ns"] >= since_ns]
        decision = str(permits[0]["decision"])

        def told():
            why = self.cluster.ask(node, "why", decision) or {"records": []}
            return [record["text"] for record in why["records"] if record["kind"].startswith("pacemaker-")]

        def named():
            texts = iter(told())
            return all(any(part in text for text in texts) for part in expected)
        self.wait("hapair why names what Pacemaker decided", named, 20)
        self.expect(named(), f"hapair why {decision} on {node} has Pacemaker's own steps: {'; '.join(told())}")

    # --- the cases ---

    def crash(self):
        since = self.cluster.now()
        self.cluster.machines["alpha"].cut_power()
        fenced = self.taken("beta", "pool-a", since)
        asked = [entry for entry in self.cluster.world.power.log if entry["from_ns"] >= since and entry["node"] == "alpha"]
        self.expect(asked and "beta" not in fenced, "the cluster had alpha fenced, and not beta")
        self.explained("beta", "pool-a", since, ("node alpha lost", "fenced alpha by beta (reboot, OK)", "promoted pool pool-a here: ok"))
        self.cluster.keeper.boot_later("alpha", 0)

    def hang(self):
        since = self.cluster.now()
        self.cluster.machines["alpha"].freeze()
        fenced = self.taken("beta", "pool-a", since)
        self.expect(fenced == ["alpha"], f"alpha was fenced, and nobody else: {fenced}")

    def cut(self):
        since = self.cluster.now()
        self.cluster.machines["alpha"].cut()
        self.wait("one of the two was fenced", lambda: self.cluster.fenced_since(since))
        loser = self.cluster.fenced_since(since)[0]
        winner = NODES[1 - NODES.index(loser)]
        if winner == "alpha":
            self.cluster.machines["alpha"].restore_links()
        fenced = self.taken(winner, f"pool-{loser[0]}", since)
        self.expect(set(fenced) == {loser}, f"{loser} was fenced, and {winner} was not")

    def agent(self):
        self.still("alpha's hapaird is killed", lambda: self.cluster.machines["alpha"].signal_program("hapaird", signal.SIGKILL))

    def dead(self):
        since = self.cluster.now()
        alpha = self.cluster.machines["alpha"]
        processes.send(alpha.pid, signal.SIGSTOP)  # it would start hapaird again
        alpha.signal_program("hapaird", signal.SIGKILL)
        fenced = self.taken("beta", "pool-a", since)
        self.expect(fenced == ["alpha"], f"alpha, whose pool nobody could stop, was fenced, and nobody else: {fenced}")

    def failure(self):
        since = self.cluster.now()
        alpha = self.cluster.machines["alpha"]
        self.cluster.tool("crm_resource", "--move", "--resource", "pool-a-clone", "--node", "beta", "--promoted")
        self.wait("pool-a is served by beta", lambda: self.cluster.serves("pool-a", "beta"))
        alpha.execute("mv", "/run/disks/pool-a", "/run/disks/gone")
        self.cluster.tool("crm_resource", "--move", "--resource", "pool-a-clone", "--node", "alpha", "--promoted")
        self.wait("alpha has tried in vain", lambda: sum(record["kind"] == "command" and "wants it served" in record["text"] for record in
                                                         self.cluster.records("alpha") if record["when_ns"] >= since) >= 1)
        self.wait("pool-a is served by beta again", lambda: self.cluster.settled() and self.cluster.serves("pool-a", "beta"))
        self.tell()
        tries = [record for record in self.cluster.records("alpha") if record["kind"] == "resource-failed" and record["when_ns"] >= since]
        self.expect(tries, f"alpha tried {len(tries)} times, and could not start it")
        self.expect(not self.cluster.fenced_since(since), "nobody was fenced")
        alpha.execute("mv", "/run/disks/gone", "/run/disks/pool-a")
        self.cluster.tool("crm_resource", "--clear", "--resource", "pool-a-clone")
        self.cluster.tool("crm_resource", "--cleanup", "--resource", "pool-a-clone")

    def still(self, what, fault):
        since = self.cluster.now()
        fault()
        self.cluster.pause(STILL_S)
        self.tell()
        self.expect(not self.cluster.fenced_since(since), f"{what}: nobody was fenced")
        for pool in POOLS:
            self.expect(self.cluster.serves(pool.name, pool.home), f"{what}: {pool.home} goes on serving {pool.name}")
        changes = [change for change in self.cluster.world.watcher.changes() if change["when_ns"] >= since]
        self.expect(not changes, f"{what}: nothing of any pool was stopped or started")

    def standby(self):
        since = self.cluster.now()
        self.cluster.tool("crm_standby", "--node", "alpha", "--update", "on")
        self.wait("pool-a is served by beta", lambda: self.cluster.serves("pool-a", "beta"))
        self.tell()
        self.expect(not self.cluster.fenced_since(since), "nobody was fenced")
        self.cluster.tool("crm_standby", "--node", "alpha", "--delete")

    def maintenance(self):
        self.cluster.tool("crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--update", "true")
        self.still("in maintenance mode alpha's hapaird is killed",
                   lambda: self.cluster.machines["alpha"].signal_program("hapaird", signal.SIGKILL))
        self.cluster.tool("crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--delete")

    def move(self):
        since = self.cluster.now()
        self.cluster.tool("crm_resource", "--move", "--resource", "pool-b-clone", "--node", "alpha", "--promoted")
        self.wait("pool-b is served by alpha", lambda: self.cluster.serves("pool-b", "alpha"))
        self.tell()
        permits = [record for record in self.cluster.records("alpha") if record["kind"] == "permit" and record["when_ns"] >= since]
        self.expect([record["fields"]["permit"] for record in permits] == ["released"], "alpha took it by beta's release")
        self.expect(not self.cluster.fenced_since(since), "nobody was fenced")
        self.cluster.tool("crm_resource", "--clear", "--resource", "pool-b-clone")

    # --- the end ---

    def verdict(self):
        for client in self.cluster.world.clients.values():
            client.ask_to_finish()
        for pool, client in self.cluster.world.clients.items():
            result = client.result()
            lost = result.get("writes_lost", "not known how many")
            self.expect(result["verified"] and lost == 0, f"{pool}: {result['writes_acknowledged']} writes acknowledged, {lost} lost")
        watcher = self.cluster.world.watcher.finish()
        two = sum(pool["two_owners_ms"] for pool in watcher["pools"].values())
        self.expect(two == 0, f"never two owners of a pool: {two:.1f} ms in {watcher['samples']} samples")
        gap = watcher["largest_gap_ms"]
        self.expect(gap <= LARGEST_GAP_ALLOWED_MS, f"the watcher's longest gap was {gap:.1f} ms")


CASES = ("move", "standby", "maintenance", "agent", "failure", "dead", "crash", "hang", "cut")


def parse(argv):
    parser = argparse.ArgumentParser(prog="tests/interop/run pacemaker", usage=__doc__.split("\n", maxsplit=1)[0].removeprefix("usage: "),
                                     description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--token-ms", type=int, default=1000)
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args(argv)


def play(make, tell):
    """Brings up the world of the story that `make` gives, has `tell` tell it, looks at what must hold in all of them, and takes it down.
    The exit status."""
    if missing := what_is_missing():
        print(f"skipped: {missing}")
        return SKIPPED
    check_machine()
    story = make()
    end_on_signals()
    try:
        story.cluster.bring_up()
        tell(story)
        say("")
        story.verdict()
    except (WorldError, Ended) as error:
        story.expect(False, str(error))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        kept = story.cluster.end()
        if kept:
            say(f"Kept for a look: {kept}")
    failed = [sentence for sentence, holds in story.points if not holds]
    say(f"\n{len(story.points) - len(failed)} of {len(story.points)} as it must be.")
    return 1 if failed else 0


def main(argv):
    options = parse(argv)

    def tell(story):
        say(f"both pools are promoted at home and both clients write (token {options.token_ms} ms).")
        for case in options.case or CASES:
            say(f"\n{case}:")
            getattr(story, case)()
            story.home_again()
    return play(lambda: Story(ClusterWorld(options, os.path.abspath(options.build), options.token_ms)), tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
