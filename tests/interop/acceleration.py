"""usage: tests/interop/run acceleration [--trials N] [--fault F] [--token-ms N] [--csv FILE] [--keep]

How long a pool is gone when its node dies under Pacemaker, with hapair's knowledge and without it: the same two nodes, the same cluster with
fencing, the same fault, in turn. With it, the survivor's hapaird has Corosync look at once who is there (pacemaker.look_at_once); without
it, everything waits until Corosync's token is lost. All else is the same: Pacemaker fences, and promotes.

  --trials N    of each (default 10)
  --fault F     crash (power lost, the default) or hang (every process of the node stands still)
  --token-ms N  Corosync's token (default: Corosync's own)
  --csv FILE    every trial
  --keep        keep logs in /var/tmp/hapair-pacemaker.kept

Prints minimum, median and maximum from the fault to: the fence's end, the promotion (the pool is served by the survivor), the client's first
write. Nothing is asserted of time, but the checks of `pacemaker` are: no pool with two owners, no acknowledged write lost."""

import argparse
import csv
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "deploy", "demo"), os.path.join(ROOT, "tests", "host"), HERE]

# pylint: disable=wrong-import-position
from cluster_world import ClusterWorld  # noqa: E402
from demonstration import say  # noqa: E402
from pacemaker import Story, play  # noqa: E402

MEASURED = ("fenced", "promoted", "written")
VICTIM, SURVIVOR, POOL = "beta", "alpha", "pool-b"  # whose fence has no delay


class Race:
    def __init__(self, cluster, story, fault):
        self.cluster = cluster
        self.story = story
        self.fault = fault
        self.consensus = cluster.consensus(SURVIVOR)
        self.trials = []  # (with hapair's knowledge, {what: ms})

    def trial(self, told):
        cluster = self.cluster
        cluster.set_look_at_once(told)
        self.story.wait("the cluster is at rest", cluster.settled)
        cluster.pause(3)
        since = cluster.now()
        if self.fault == "crash":
            since = cluster.machines[VICTIM].cut_power()
        else:
            since = cluster.machines[VICTIM].freeze()
        self.story.wait(f"{POOL} is served by {SURVIVOR}", lambda: cluster.holder(pool=POOL)[0] == SURVIVOR and
                        cluster.writes_since(cluster.holder(pool=POOL)[1], POOL))
        serving = next(record["when_ns"] for record in cluster.records(SURVIVOR)
                       if record["kind"] == "pool-serving" and record["pool"] == POOL and record["when_ns"] > since)
        outage = max(entry["to_ns"] for entry in cluster.world.clients[POOL].outages_since(since))
        fenced = next((entry["to_ns"] for entry in cluster.world.power.log if entry["from_ns"] >= since and entry["node"] == VICTIM and
                       entry["action"] in ("off", "reboot")), None)
        took = {what: (when - since) / 1e6 if when else None for what, when in
                (("fenced", fenced), ("promoted", serving), ("written", outage))}
        self.trials.append((told, took))
        say(f"{'with' if told else 'without'} hapair's knowledge: " + ", ".join(
            f"{what} {'not' if took[what] is None else f'{took[what]:.0f} ms'}" for what in MEASURED))
        cluster.keeper.boot_later(VICTIM, 0)
        self.story.home_again()
        self.story.wait("Corosync has its own consensus timeout again", lambda: cluster.consensus(SURVIVOR) == self.consensus)

    def table(self):
        say(f"\n{'':<10}{'without hapair':<34}{'with hapair':<34}ratio of medians")
        for what in MEASURED:
            columns = {told: [took[what] for had, took in self.trials if had == told and took[what] is not None] for told in (False, True)}
            cells = [f"{min(values):.0f} / {statistics.median(values):.0f} / {max(values):.0f} ms ({len(values)})" if values else "-"
                     for values in columns.values()]
            ratio = f"{statistics.median(columns[False]) / statistics.median(columns[True]):.1f}" if all(columns.values()) else "-"
            say(f"{what:<10}{cells[0]:<34}{cells[1]:<34}{ratio}")

    def write(self, path):
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("with_hapair", *(f"{what}_ms" for what in MEASURED)))
            writer.writerows((int(told), *(took[what] for what in MEASURED)) for told, took in self.trials)


def parse(argv):
    parser = argparse.ArgumentParser(prog="tests/interop/run acceleration", description=__doc__,
                                     usage=__doc__.split("\n", maxsplit=1)[0].removeprefix("usage: "),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--fault", choices=("crash", "hang"), default="crash")
    parser.add_argument("--token-ms", type=int, default=None)
    parser.add_argument("--csv")
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    race = None

    def tell(story):
        nonlocal race
        race = Race(story.cluster, story, options.fault)
        say(f"both pools are promoted at home; fault {options.fault}, token {options.token_ms or 'by default'}.")
        for _ in range(options.trials):
            for told in (False, True):
                race.trial(told)
        race.table()
    status = play(lambda: Story(ClusterWorld(options, os.path.abspath(options.build), options.token_ms)), tell)
    if options.csv and race and race.trials:
        race.write(options.csv)
        say(f"written: {options.csv}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
