"""usage: tests/host/run split [--short] [--case C]... [--json FILE] [--keep]

Split brain, tried: two nodes in PID, mount and network namespaces, each serving a pool over iSCSI to a client that never stops writing;
leases, one mailbox disk, no fence device. A watcher looks at mounts, addresses and open disks of both all the time, from outside.

  links  every link between the two is cut (rail and network; not the clients' links, not the disks): both go on serving their own
         pools, nothing is taken, nothing stops
  moves  the same, and an operator has beta take alpha's pool, and gives it back: over the mailbox disk, with every link cut
  disk   the same, and alpha loses its path to the mailbox disk: it stops its pool when its lease is over, and only then beta takes it
  agent  as disk, and alpha's hapaird stands still (SIGSTOP), as does who would restart it: nobody there can stop the pool, so its watchdog is fed no longer than the
         lease lasts and its stop may take, and ends alpha; only then beta takes the pool
  pause  every process of alpha is stopped (SIGSTOP), all but its process 1: its watchdog ends it, and only then beta takes its pool
  ccmd   alpha's ccmd is killed: the next one goes on feeding the watchdog, and nothing moves

After each: healed, every pool given back, what was acknowledged read back. Order is asserted, and that nobody waits less than it must;
how long a thing takes is told only.

  --short      links, moves and disk, with short leases: about a minute
  --case C     only this one (may be given again): links, moves, disk, agent, pause or ccmd
  --json FILE  the result, as JSON
  --keep       keep logs and records in /var/tmp/hapair-split.kept

Exit status: 0 all went as it must, 1 it did not or could not run, 2 wrong usage, 77 skipped."""

import argparse
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy", "demo"))

# pylint: disable=wrong-import-position
from demonstration import Ended, end_on_signals, say  # noqa: E402
from host_test import what_is_missing  # noqa: E402
from split_world import ENDED_BY_WATCHDOG, MAILBOX, WATCHDOG, SplitWorld, Times  # noqa: E402
from world import processes  # noqa: E402
from world.layout import NODES, POOLS, WorldError, now_ns  # noqa: E402
from world.timeline import RECORD_KINDS, Entry, from_client, from_watcher, render  # noqa: E402
from world.world import check_machine  # noqa: E402

SKIPPED = 77
CASES = ("links", "moves", "disk", "agent", "pause", "ccmd")
SHORT = ("links", "moves", "disk")
LOSER, WINNER, POOL = "alpha", "beta", "pool-a"
PATIENCE_S = 90
LARGEST_GAP_ALLOWED_MS = 500  # a proof with holes is none
LEASE_KINDS = ("claim-decided", "lease-expired", "lease-given-up", "lease-lost", "lease-waited-for")
TAKING = ("permit", "fence-started")
STOPPING = ("resource-stopped", "lease-lost")


class Story:
    # Of the winner: when the wait for the loser's lease begins, and how long it must be.
    WAIT_BEGINS = "claim-decided"

    def must_wait_ms(self):
        return self.pair.times.over

    def __init__(self, pair):
        self.pair = pair
        self.points = []  # (sentence, whether it holds)
        self.told = {}    # of the result

    def expect(self, holds, sentence):
        self.points.append((sentence, bool(holds)))
        say(f"  {'ok  ' if holds else 'NOT '} {sentence}")

    def wait(self, what, condition, patience_s=PATIENCE_S):
        self.pair.wait(what, patience_s, condition)

    # --- what every case has ---

    def well(self):
        """Both see each other, and serve their own pool under a lease."""
        self.wait("both nodes see each other alive", lambda: all(self.pair.verdict(node) == "alive" for node in NODES))
        self.wait("both serve under leases", self.pair.under_leases)
        self.wait("both clients write", lambda since=now_ns(): all(
            self.pair.writes_since(since, pool.name) for pool in POOLS))

    def timeline(self, since_ns):
        """Both nodes' records, what the watcher and the clients saw, and the ends of nodes, in order."""
        entries = [Entry(since_ns, "fault", "begins")]
        for node in NODES:
            entries += [Entry(record["when_ns"], node, f"{record['kind']}: {record['text']}")
                        for record in self.pair.records_since(node, since_ns) if record["kind"] in RECORD_KINDS + LEASE_KINDS]
        entries += from_watcher(self.pair.world.watcher.changes())
        entries += [Entry(when_ns, "machine", f"{node} {text}") for when_ns, node, text in self.pair.keeper.log]
        for client in self.pair.world.clients.values():
            entries += from_client(client)
        say("")
        for line in render(entries, since_ns, now_ns()):
            say(line)
        say("")

    def read_back(self, when):
        for pool in POOLS:
            result = self.pair.verify_so_far(pool.name)
            lost = result.get("writes_lost", 0)
            self.expect(result["verified"] and lost == 0, f"{when}: {result['writes_acknowledged']} acknowledged writes of {pool.name} "
                                                          f"read back, {lost if result['verified'] else 'not known how many'} lost")

    @staticmethod
    def kinds(records, kinds):
        return [record["kind"] for record in records if record["kind"] in kinds]

    @staticmethod
    def taken(records, kind):
        return next((record["when_ns"] for record in records if record["kind"] == kind and record["pool"] == POOL), None)

    def one_side_at_a_time(self, since_ns, records):
        """The loser had let everything of its pool go before the winner began with it; the winner waited as long as it must."""
        changes = self.pair.changes_since(since_ns, POOL)
        gone = max((change["when_ns"] for change in changes if change["node"] == LOSER and not change["held"]), default=None)
        begun = min((change["when_ns"] for change in changes if change["node"] == WINNER and change["held"]), default=None)
        still = {change["what"]: change["held"] for change in changes if change["node"] == LOSER}
        self.expect(gone and begun and gone < begun and not any(still.values()),
                    f"the watcher saw {LOSER} without all of {POOL} before {WINNER} had anything of it")
        permit = next((record for record in records if record["kind"] == "permit" and record["pool"] == POOL), None)
        self.expect(permit and permit["fields"]["permit"] == "expired", f"{WINNER} took {POOL} by a permit of kind expired")
        if None in (gone, begun, permit):
            return
        # The claim that the permit rests on: an earlier one may have been withdrawn.
        decided = max((record["when_ns"] for record in records if record["kind"] == self.WAIT_BEGINS and record["pool"] == POOL and
                       record["when_ns"] <= permit["when_ns"]), default=permit["when_ns"])
        self.expect(permit["when_ns"] - decided >= self.must_wait_ms() * 1_000_000,
                    f"{WINNER} waited {(permit['when_ns'] - decided) / 1e6:.0f} ms after its record \"{self.WAIT_BEGINS}\"; it must "
                    f"wait {self.must_wait_ms():.0f} ms")
        say(f"       {LOSER} was without {POOL} {(gone - since_ns) / 1e6:.0f} ms after the fault, {WINNER} began with it "
            f"{(begun - gone) / 1e6:.0f} ms after that")
        self.told |= {"stopped_ms": (gone - since_ns) / 1e6, "between_ms": (begun - gone) / 1e6}

    def wait_for_takeover(self):
        self.wait(f"{WINNER} serves {POOL} and its client writes there",
                  lambda: self.pair.holder()[0] == WINNER and self.pair.writes_since(self.pair.holder()[1]))
        outages = [entry["ms"] for entry in self.pair.world.clients[POOL].outages_since(0)]
        say(f"{WINNER} serves {POOL}; its client was without it for {outages[-1] if outages else 0:.0f} ms.")

    def wait_for_giveback(self):
        self.wait(f"{POOL} is back at {LOSER} and its client writes there",
                  lambda: self.pair.holder()[0] == LOSER and self.pair.writes_since(self.pair.holder()[1]))
        self.well()
        say(f"{POOL} was given back to {LOSER}; both serve under leases again.")
        self.read_back("after the giveback")

    # --- the cases ---

    def links(self):
        say(f"\nlinks: every link between {' and '.join(NODES)} is cut; the clients' links and the disks are not.")
        since = now_ns()
        self.pair.part()
        self.wait("both say that the interconnect is lost",
                  lambda: all(self.pair.verdict(node) == "interconnect-lost" for node in NODES))
        # Longer than a partner would wait that took the other for dead.
        self.pair.pause(self.pair.times.over / 1000 + 1)
        half = now_ns()
        self.wait("both clients still write", lambda: all(self.pair.writes_since(half, pool.name) for pool in POOLS))
        records = {node: self.pair.records_since(node, since) for node in NODES}
        changes = self.pair.changes_since(since)
        self.timeline(since)
        self.expect(not changes, "each node went on with its own pool, all of it, and had nothing of the other's")
        for node in NODES:
            self.expect(not self.kinds(records[node], TAKING), f"{node} took nothing")
            self.expect(not self.kinds(records[node], STOPPING), f"{node} stopped nothing")
        self.read_back("still cut")
        self.pair.join()
        self.well()
        self.expect(not self.pair.changes_since(since), "healing moved no pool")
        say("healed.")

    def moves(self):
        say(f"\nmoves: every link between {' and '.join(NODES)} is cut, and {POOL} is moved to {WINNER} and back by command.")
        since = now_ns()
        self.pair.part()
        self.wait("both say that the interconnect is lost",
                  lambda: all(self.pair.verdict(node) == "interconnect-lost" for node in NODES))
        self.wait("both hear each other's agent over the disk",
                  lambda: all(self.kinds(self.pair.records_since(node, since), ("notices",)) for node in NODES))
        self.move(since, "takeover", WINNER, WINNER)
        self.read_back(f"served by {WINNER}, still cut")
        self.move(now_ns(), "giveback", WINNER, LOSER)
        self.read_back("given back, still cut")
        self.timeline(since)
        records = {node: self.pair.records_since(node, since) for node in NODES}
        for node in NODES:
            self.expect(not self.kinds(records[node], ("fence-started", "claim-durable", "lease-lost")), f"{node} claimed nothing and fenced nobody")
        self.expect(not self.pair.changes_since(since, "pool-b"), "the other pool was not touched")
        healed = now_ns()
        self.pair.join()
        self.well()
        self.expect(not self.pair.changes_since(healed), "healing moved no pool")
        say("healed.")

    def move(self, since_ns, command, asked, to):
        """Moves the pool by a command given to one node, and sees that it went by the other's word, over the disk."""
        done = self.pair.machines[asked].execute("hapair", command, POOL)
        self.expect(done.returncode == 0, f"hapair {command} {POOL} on {asked} is accepted: {(done.stdout + done.stderr).strip()}")
        self.wait(f"{to} serves {POOL} and its client writes there",
                  lambda: self.pair.holder()[0] == to and self.pair.writes_since(self.pair.holder()[1]))
        permits = [record for record in self.pair.records_since(to, since_ns) if record["kind"] == "permit" and record["pool"] == POOL]
        self.expect(len(permits) == 1 and permits[0]["fields"]["permit"] == "released" and
                    f"over mailbox disk {MAILBOX}" in permits[0]["text"],
                    f"{to} took it once, by the other's word over the mailbox disk")
        self.expect(all(self.pair.verdict(node) == "interconnect-lost" for node in NODES), "all that time every link was cut")

    def lose_links_and_disk(self):
        """The links first: a node that still reaches its partner could tell it, between the two, that it stops its pool, and the partner
        would take it as released, without a lease that ends. Parted, the disk is its last way to be heard."""
        self.pair.part()
        self.pair.set_mailbox(LOSER, False)

    def disk(self):
        say(f"\ndisk: the same links are cut, and {LOSER} has no mailbox disk any more.")
        pid = self.pair.machines[LOSER].pid
        since = now_ns()
        self.lose_links_and_disk()
        self.wait_for_takeover()
        records = {node: self.pair.records_since(node, since) for node in NODES}
        self.timeline(since)
        self.expect(self.taken(records[LOSER], "lease-lost"), f"{LOSER} saw that its lease was over")
        self.expect(self.taken(records[LOSER], "resource-stopped"), f"{LOSER} stopped {POOL} itself")
        self.expect(self.pair.machines[LOSER].is_on and self.pair.machines[LOSER].pid == pid, f"{LOSER} was not ended by its watchdog")
        self.one_side_at_a_time(since, records[WINNER])
        self.expect(not self.pair.changes_since(since, "pool-b"), f"{WINNER} went on with its own pool")
        self.read_back(f"served by {WINNER}")
        say("The links and the disk are healed.")
        self.pair.join()
        self.pair.set_mailbox(LOSER, True)
        self.wait_for_giveback()

    def agent(self):
        say(f"\nagent: the same links are cut, {LOSER} has no mailbox disk, and its hapaird is stopped (SIGSTOP), as is who would restart it.")
        self.pair.machines[LOSER].signal_program("hapair-demo-init", signal.SIGSTOP)
        since = self.pair.machines[LOSER].signal_program("hapaird", signal.SIGSTOP)
        self.lose_links_and_disk()
        self.ended_by_its_watchdog(since)

    def pause(self):
        say(f"\npause: every process of {LOSER} but its process 1 is stopped (SIGSTOP).")
        self.ended_by_its_watchdog(self.pair.machines[LOSER].freeze(but_pid_1=True))

    def ended_by_its_watchdog(self, since):
        machine = self.pair.machines[LOSER]
        namespace = machine.pid_namespace
        self.wait(f"the watchdog has ended {LOSER}", lambda: not machine.is_on)
        left = processes.in_namespace(namespace, "pid")
        self.wait_for_takeover()
        records = self.pair.records_since(WINNER, since)
        ended = next((text for when_ns, node, text in self.pair.keeper.log if node == LOSER and when_ns >= since), "")
        self.expect(f"status {ENDED_BY_WATCHDOG}:" in ended, f"{LOSER} was ended by its watchdog ({ended or 'the keeper saw no end'})")
        self.expect(not left, f"no process of {LOSER} was left")
        self.one_side_at_a_time(since, records)
        self.expect(not self.pair.changes_since(since, "pool-b"), f"{WINNER} went on with its own pool")
        self.read_back(f"served by {WINNER}")
        say(f"The links are healed, and {LOSER} is switched on again.")
        self.pair.join()
        machine.power_on()
        self.wait_for_giveback()
        self.timeline(since)

    def ccmd(self):
        say(f"\nccmd: {LOSER}'s ccmd is killed (SIGKILL).")
        machine = self.pair.machines[LOSER]
        since = machine.signal_program("ccmd", signal.SIGKILL)
        # Longer than the watchdog of a node whose ccmd did not come back would have let it live.
        self.pair.pause(2 * self.pair.times.watchdog / 1000 + 2)
        self.well()
        records = {node: self.pair.records_since(node, since) for node in NODES}
        self.timeline(since)
        self.expect(machine.is_on and not self.pair.changes_since(since), f"{LOSER} lives, and no pool moved")
        for node in NODES:
            self.expect(not self.kinds(records[node], TAKING + STOPPING), f"{node} took and stopped nothing")

    # --- all of it ---

    def bring_up(self):
        pair = self.pair
        found = pair.world.claim()
        if found:
            say(f"Cleared away what an earlier run left: {', '.join(found)}.")
        say("Making the disks, the networks and the nodes ...")
        pair.world.build()
        pair.world.watcher.start()
        for machine in pair.machines.values():
            machine.power_on()
        pair.keeper.start()
        for machine in pair.machines.values():
            if not machine.wait_for("up", PATIENCE_S):
                raise WorldError(f"{machine.node} did not come up")
        say(pair.prepare_mailbox())
        for client in pair.world.clients.values():
            client.start()
        self.well()
        say(pair.machines[LOSER].execute("hapair", "status").stdout.rstrip())
        checked = pair.machines[LOSER].execute("hapair", "check")
        self.expect(checked.returncode == 0 and f"watchdog {WATCHDOG}: process 1 of this container" in checked.stdout,
                    "hapair check knows that the watchdog is a container's, and says what that does not cover")
        self.expect("/etc/hapair/hapair.json promises" in " ".join(checked.stdout.split()), "hapair check says by which file it was promised that leases may rest on it")
        checked = pair.machines[LOSER].execute(
            "sh", "-c", "grep -v boot_id_file /etc/hapair/hapair.json > /tmp/other.json; hapair check /tmp/other.json")
        self.expect(checked.returncode != 0 and "boot_id_file is the kernel's" in checked.stderr,
                    "hapair check refuses the host's boot id in a container")

    def finish(self):
        """Everything is read back once more, and the watcher's last word."""
        clients = self.pair.world.clients
        say("\nReading everything back ...")
        for client in clients.values():
            client.ask_to_finish()
        results = [client.result() for client in clients.values()]
        watcher = self.pair.world.watcher.finish()
        two = sum(pool["two_owners_ms"] for pool in watcher["pools"].values())
        acknowledged = sum(result["writes_acknowledged"] for result in results)
        lost = sum(result.get("writes_lost", 0) for result in results)
        self.expect(all(result["verified"] for result in results) and lost == 0 and acknowledged > 0,
                    "every acknowledged write is there")
        self.expect(two == 0, f"at none of {watcher['samples']} samples two nodes had anything of the same pool")
        self.expect(0 < watcher["largest_gap_ms"] <= LARGEST_GAP_ALLOWED_MS,
                    f"the watcher never looked away for long (at most {watcher['largest_gap_ms']:.1f} ms)")
        self.told |= {"acknowledged": acknowledged, "lost": lost, "two_owners_ms": two, "samples": watcher["samples"]}


def parse(argv):
    parser = argparse.ArgumentParser(usage=__doc__.splitlines()[0].removeprefix("usage: "), add_help=False)
    parser.add_argument("build_folder")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--case", action="append", choices=CASES, dest="cases")
    parser.add_argument("--json")
    parser.add_argument("--keep", action="store_true")
    if "--help" in argv or "-h" in argv:
        print(__doc__)
        sys.exit(0)
    options = parser.parse_args(argv)
    options.cases = [case for case in CASES if case in (options.cases or (SHORT if options.short else CASES))]
    return options


def tell(story, options, began):
    failed = [sentence for sentence, holds in story.points if not holds]
    told = story.told
    say(f"\nsplit ({', '.join(options.cases)}): {told.get('acknowledged', 0)} writes acknowledged, {told.get('lost', 'not known how many')} "
        f"lost; {len(story.points) - len(failed)} of {len(story.points)} as they must be; {time.monotonic() - began:.0f} s")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**told, "cases": options.cases, "ok": not failed, "failed": failed}, file, indent=2)
            file.write("\n")
    return 1 if failed else 0


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
    times = Times(lease=2000, stop=2000, watchdog=2000) if options.short else Times(lease=4000, stop=4000, watchdog=3000)
    pair = SplitWorld(options, options.build_folder, times)
    story = Story(pair)
    end_on_signals()
    try:
        story.bring_up()
        for case in options.cases:
            getattr(story, case)()
        story.finish()
        return tell(story, options, began)
    except (WorldError, Ended) as error:
        print(f"split: {error}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # clearing away is not interrupted; it takes about a second
        kept = pair.end()
        if kept:
            say(f"Kept for a look: {kept}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
