"""usage: tests/interop/run migration [--keep]

A pair that stands alone goes under Pacemaker, and back, by the steps of deploy/config/migration, while two clients write to it without end:
no resource of any pool is stopped or started on the way, and each time the new master moves a pool to show that it is one.

  --keep  keep logs in /var/tmp/hapair-pacemaker.kept

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
from demonstration import say  # noqa: E402
from pacemaker import Story, play  # noqa: E402
from world.layout import NODES, POOLS  # noqa: E402
from world.shape import Shape  # noqa: E402

TOKEN_MS = 1000


class MigratingWorld(ClusterWorld):
    PROPERTIES = '<nvpair id="maintenance" name="maintenance-mode" value="true"/>'

    def __init__(self, options, build_folder):
        super().__init__(options, build_folder, TOKEN_MS, Shape())

    def bring_up(self):
        self.raise_nodes()
        self.wait("both pools are served at home and both clients write", 120, lambda: all(
            self.served_by(pool.name) == pool.home for pool in POOLS) and all(
                client.acknowledged() > 0 for client in self.world.clients.values()))

    def served_by(self, pool):
        """In the eyes of hapair's agents, where both say the same."""
        owners = {entry["owner"] for node in NODES for entry in (self.ask(node, "status") or {}).get("pools", []) if entry["name"] == pool}
        return owners.pop() if len(owners) == 1 else None

    def set_arbiter(self, arbiter):
        for node in NODES:
            self.reconfigure(node, {"arbiter": arbiter}, signal.SIGTERM)  # as systemctl restart does
            self.wait(f"{node} serves its pool as before", 60, lambda one=node: any(
                pool["state"] == "serving" for pool in (self.ask(one, "status") or {}).get("pools", [])))


class MigrationStory(Story):
    def nothing_moved(self, since, what):
        changes = [change for change in self.cluster.world.watcher.changes() if change["when_ns"] >= since]
        self.expect(not changes, f"{what}: nothing of any pool was stopped or started {changes[:2] or ''}")
        for pool in POOLS:
            self.expect(self.cluster.holder(pool=pool.name)[0] == pool.home and self.cluster.writes_since(since, pool.name),
                        f"{what}: {pool.home} goes on serving {pool.name}, and its client writes")

    def hapair(self, node, *words):
        done = self.cluster.machines[node].execute("hapair", *words)
        self.expect(done.returncode == 0, f"{node}: hapair {' '.join(words)} {done.stderr.strip()}")

    def under_pacemaker(self):
        since = self.cluster.now()
        for node in NODES:
            self.hapair(node, "maintenance", "on", "--reason", "goes under Pacemaker")
        self.cluster.set_arbiter("pacemaker")
        self.nothing_moved(since, "hapair obeys a cluster that is not there yet")
        self.cluster.starter.start()
        self.wait("the cluster has found both pools promoted", lambda: all(
            self.cluster.promoted(pool.name) == [pool.home] for pool in POOLS) and self.cluster.online() == set(NODES))
        self.cluster.tool("crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--update", "false")
        self.cluster.pause(3)
        self.wait("the cluster is at rest", self.cluster.settled)
        self.cluster.pause(12)  # two monitors of each clone
        self.tell()
        self.expect(all(self.cluster.promoted(pool.name) == [pool.home] for pool in POOLS), "Pacemaker has both pools promoted at home")
        self.nothing_moved(since, "Pacemaker manages both pools")

    def alone(self):
        since = self.cluster.now()
        self.cluster.tool("crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--update", "true")
        self.wait("the cluster is at rest", self.cluster.settled)
        self.cluster.ending = True  # nobody starts the cluster again
        for node in NODES:
            machine = self.cluster.machines[node]
            machine.signal_program("pacemakerd", signal.SIGTERM)
            self.wait(f"Pacemaker has ended on {node}", lambda one=machine: not one.pids_of("pacemakerd"))
            machine.signal_program("corosync", signal.SIGTERM)
        self.nothing_moved(since, "the cluster is gone")
        self.cluster.set_arbiter("none")
        self.nothing_moved(since, "hapair decides again")

    def moves(self):
        self.hapair("alpha", "takeover", "--wait", "pool-b")
        self.wait("pool-b is served by alpha", lambda: self.cluster.holder(pool="pool-b")[0] == "alpha")
        self.hapair("alpha", "giveback", "--wait", "pool-b")
        self.wait("pool-b is served by beta", lambda: self.cluster.holder(pool="pool-b")[0] == "beta")


def main(argv):
    parser = argparse.ArgumentParser(prog="tests/interop/run migration", usage=__doc__.split("\n", maxsplit=1)[0].removeprefix("usage: "),
                                     description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(argv)

    def tell(story):
        say("both pools are served at home by hapair alone, and both clients write.")
        say("\nunder Pacemaker:")
        story.under_pacemaker()
        story.move()
        story.home_again()
        say("\nalone again:")
        story.alone()
        story.moves()
    return play(lambda: MigrationStory(MigratingWorld(options, os.path.abspath(options.build))), tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
