"""`hapair fleet` on a real Corosync group of eight nodes in four pairs (fleet_world.py): what it shows while all is well, a pool moves, a
node dies and boots again, strangers speak in the group, and Corosync itself dies, hangs and comes back. Each check is a line.

usage: fleet.py BUILD_FOLDER"""

import contextlib
import os
import signal
import subprocess
import sys
import time

from fleet_world import NODES, PAIRS, FleetWorld, Missing, dying_with_us

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77


class Fleet:
    def __init__(self, build):
        self.world = FleetWorld(build)
        self.began = time.monotonic()

    def say(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  ok  {what}", flush=True)

    def until(self, what, condition):
        self.world.wait(what, condition)
        self.say(what)

    def node(self, name):
        return self.world.nodes[name]

    # --- looking ---

    def rows(self, asked, name=None):
        answer = self.node(asked).answer("fleet")
        return [] if answer is None else [row for row in answer["nodes"] if name in (None, row["node"])]

    def well(self, asked):
        """All eight are there, each pool is served once, and there is nothing to look at."""
        answer = self.node(asked).answer("fleet")
        if answer is None or not answer["connected"] or answer["attention"] or answer["problem"] or answer["keys_problem"]:
            return False
        rows = answer["nodes"]
        if [(row["pair"], row["node"]) for row in rows] != NODES or any(row["lost"] or row["conflict"] for row in rows):
            return False
        serving = [row["pair"] for row in rows for pool in row["pools"] if pool["state"] == "serving" and pool["owner"] == row["node"]]
        return sorted(serving) == sorted({pair for pair, _ in NODES}) and all(row["partner_seen"] == "alive" for row in rows)

    def lost(self, asked, name):
        rows = self.rows(asked, name)
        return len(rows) == 1 and rows[0]["lost"]

    def attention(self, asked, *words):
        answer = self.node(asked).answer("fleet")
        return answer is not None and all(any(word in sentence for sentence in answer["attention"]) for word in words)

    def pool_of(self, asked, name):
        rows = self.rows(asked, name)
        return (rows[0]["pools"][0]["state"], rows[0]["pools"][0]["owner"]) if len(rows) == 1 else None

    # --- what happens ---

    def run(self):
        self.world.build_up()
        for node in self.world.nodes.values():
            node.power_on()
        self.say(f"{len(NODES)} nodes run: Corosync, ccmd and hapaird on each")
        first, last = NODES[0][1], NODES[-1][1]
        for asked in (first, last):
            self.until(f"{asked} shows {len(NODES)} nodes in {PAIRS} pairs, each pool served once", lambda one=asked: self.well(one))
        print(self.node(first).hapair("fleet").stdout, flush=True)
        self.keys_are_written(first)
        self.a_pool_moves(first)
        self.a_node_dies(first)
        self.strangers_speak(first)
        self.corosync_dies(first, last)
        self.corosync_hangs(first, last)
        self.hapaird_ends(first, last)

    def keys_are_written(self, first):
        node = self.node(first)
        self.until("monitoring reads the node in Corosync's map",
                   lambda: f"hapair.pair (str) = {node.pair}" in node.key("hapair.pair") and "= serving" in node.key("hapair.node_state"))
        self.until("and its pool there",
                   lambda: "(str) = serving" in node.key("hapair.pool.tank.state") and
                   f"(str) = {first}" in node.key("hapair.pool.tank.owner") and "(u64) = " in node.key("hapair.pool.tank.epoch"))

    def a_pool_moves(self, asked):
        done = self.node("b3").hapair("takeover", "tank", "--wait")
        if done.returncode != 0:
            raise AssertionError(f"takeover on b3: {done.stderr}")
        self.until("a pool that moves is seen to move by a node of another pair",
                   lambda: self.pool_of(asked, "b3") == ("serving", "b3") and self.pool_of(asked, "a3") == ("elsewhere", "b3"))
        self.until("and in the map of the node that gave it", lambda: "(str) = elsewhere" in self.node("a3").key("hapair.pool.tank.state"))

    def a_node_dies(self, asked):
        self.node("a2").power_off()
        self.until("a node whose power goes is lost", lambda: self.lost(asked, "a2"))
        self.until("and its pool is served by none", lambda: self.attention(asked, "a2 of pair-2 is lost", "tank of pair-2: no node"))
        print(self.node(asked).hapair("fleet").stdout, flush=True)
        self.node("a2").power_on()
        self.until("it boots, and is back", lambda: not self.attention(asked, "a2 of pair-2 is lost") and not self.lost(asked, "a2"))

    def strangers_speak(self, asked):
        self.until("all is well before strangers speak", lambda: self.well(asked))
        before = {entry["key"]: entry["value"] for entry in self.node(asked).answer("fleet")["refused"]}
        if before:
            raise AssertionError(f"messages were refused though nobody had sent any: {before}")
        stranger = self.stranger()
        counts = dict(word.split("=") for word in stranger.stdout.readline().split())

        def refused():
            return {entry["key"]: str(entry["value"]) for entry in self.node(asked).answer("fleet")["refused"]}
        self.until(f"what a stranger sends is counted by kind ({', '.join(f'{n} {kind}' for kind, n in counts.items())})",
                   lambda: refused() == counts)
        self.until("and nothing else comes of it", lambda: self.well(asked))
        stranger.stdin.write("lie\n")
        stranger.stdin.flush()
        stranger.stdout.readline()
        self.until("one that says it is another node is shown as a conflict",
                   lambda: [row["conflict"] for row in self.rows(asked, "b4")] == [True, True])
        stranger.stdin.close()
        stranger.wait()
        self.until("when it leaves, the true one remains", lambda: self.well(asked))

    def stranger(self):
        return subprocess.Popen(dying_with_us(*self.node("b1").within(), "/usr/bin/python3", "-B", os.path.join(HERE, "fleet_stranger.py")),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def corosync_dies(self, asked, other):
        node = self.node(asked)
        node.kill("corosync")
        self.until("where Corosync dies, the node says so, and shows all as lost", lambda: self.in_the_dark(asked))
        done = node.hapair("fleet")
        if done.returncode != 0 or "joins again by itself" not in done.stdout:
            raise AssertionError(f"hapair fleet without Corosync: {done}")
        print(done.stdout, flush=True)
        if node.answer("status") is None:
            raise AssertionError("hapaird does not answer")
        self.until("and the others lose it", lambda: self.lost(other, asked))
        node.start("corosync")
        self.until("Corosync is started again: all are back", lambda: self.well(asked) and self.well(other))
        self.until("and so are the keys of its map", lambda: "= serving" in node.key("hapair.node_state"))

    def in_the_dark(self, asked):
        answer = self.node(asked).answer("fleet")
        return answer is not None and not answer["connected"] and "Corosync" in answer["problem"] and \
            len(answer["nodes"]) == len(NODES) and all(row["lost"] for row in answer["nodes"])

    def corosync_hangs(self, asked, other):
        node = self.node(asked)
        node.signal("corosync", signal.SIGSTOP)
        try:
            self.until("where Corosync hangs, hapaird does not, and says so",
                       lambda: self.in_the_dark(asked))
            print(node.hapair("fleet").stdout.splitlines()[0], flush=True)
            self.until("and the others lose that node", lambda: self.lost(other, asked))
        finally:
            node.signal("corosync", signal.SIGCONT)
        self.until("Corosync goes on: all are back", lambda: self.well(asked) and self.well(other))

    def hapaird_ends(self, asked, other):
        node = self.node(other)
        node.kill("hapaird")
        self.until("a hapaird that dies is lost, though its Corosync lives", lambda: self.lost(asked, other))
        node.start("hapaird")
        self.until("it is started again, and is back", lambda: self.well(asked))
        node.signal("hapaird", signal.SIGTERM)
        self.until("one that ends in order leaves the group, and no keys in Corosync's map",
                   lambda: self.lost(asked, other) and "hapair." not in node.key("hapair."))


def main():
    if os.geteuid() != 0:
        print("skipped: not root: namespaces cannot be made")
        return SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    fleet = Fleet(sys.argv[1])
    passed = False
    try:
        fleet.run()
        passed = True
        print("passed", flush=True)
        return 0
    except Missing as feature:
        passed = True
        print(f"skipped: {feature}")
        return SKIPPED
    except AssertionError as error:
        print(f"FAILED: {error}", flush=True)
        with contextlib.suppress(Exception):
            print(fleet.node(NODES[0][1]).hapair("fleet").stdout, flush=True)
        return 1
    finally:
        fleet.world.end(keep_logs=not passed)


if __name__ == "__main__":
    sys.exit(main())
