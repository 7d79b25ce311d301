"""Poison, the one fence device of two machines: a node whose agent lives stops its pools and answers, and goes on; one whose agent
stands still resets itself, by its watchdog or by sysrq. The other starts a pool only after that."""

import time

from laboratory import Lab
from leases import CLOCKS_MS, Story, show
from machine import NODES, MachineError
from pair import PROGRAMS, Pair
from watchdog import Resets, WatchedMachine

WATCHDOG_S = 3
BOUND_MS = 5000
SILENT_MS = 4000
TAKEN = ("verdict", "poisoned", "fence-device", "poison-obeyed", "resource-stopped", "fence-confirmed", "fence-failed", "permit", "pool-serving")


class PoisonLab(Lab):
    def __init__(self, folder):
        super().__init__(folder, owned=True)
        self.machines = {node: WatchedMachine(folder, node) for node in NODES}


class PoisonPair(Pair):
    reset = "watchdog"

    def __init__(self, lab):
        super().__init__(lab, {node: "iwarp" for node in NODES})

    def configuration(self, node):
        configuration = super().configuration(node)
        configuration["ccm"] |= {"poison": {"bound_ms": BOUND_MS, "reset": self.reset}}
        if self.reset == "watchdog":
            configuration["ccm"] |= {"watchdog": {"device": "/dev/watchdog0", "timeout_ms": WATCHDOG_S * 1000}}
        configuration["fencing"] = {"devices": [{"name": "rails", "type": "poison", "timeout_ms": 20000}], "attempts": 2, "limit": 0}
        configuration["giveback"] |= {"stable_ms": 8000}  # longer than what is looked at before
        configuration["takeover"] |= {"agent_silent_ms": SILENT_MS}
        return configuration

    def configure(self, node):
        super().configure(node)
        self.machines[node].must("modprobe i6300esb; grep -q ' /proc ' /proc/mounts")


class PoisonStory(Story):
    def serves(self, node, pool):
        return self.pair.pools(node).get(pool, {}).get("state") == "serving"

    def obeys(self):
        """beta takes alpha's pool by force: alpha is well, stops it, and says so."""
        pair = self.pair
        since = time.monotonic() * 1000
        show(pair.machines["beta"].must("hapair takeover pool-a --force").strip())
        pair.wait(lambda: self.serves("beta", "pool-a"), "beta serves pool-a")
        self.expect(not pair.runs("alpha", "pool-a"), "nothing of pool-a runs on alpha")
        self.show_records("alpha", since, TAKEN)
        self.show_records("beta", since, TAKEN)
        stopped = pair.told_ms("alpha", "resource-stopped", "pool-a", since)
        started = pair.told_ms("beta", "resource-started", "pool-a", since)
        self.expect(stopped is not None and started is not None, "alpha stopped pool-a and beta started it")
        permits = [record for record in pair.records("beta", 0) if record["kind"] == "permit" and record.get("pool") == "pool-a"]
        self.expect(permits and "has stopped every pool" in permits[-1]["text"], "beta has it by alpha's answer")
        if stopped and started:
            show(f"pool-a: stopped by alpha {stopped - since:.0f} ms after the command, started by beta {started - stopped:.0f} ms after that")
            self.expect(stopped < started + CLOCKS_MS, "alpha had stopped pool-a before beta started it")
        pair.wait_well()
        show("alpha has its pool back: it was given back, for alpha is well")

    def stands_still(self, event):
        """alpha's agent stands still, with its pool running: its ccmd takes the order, and resets the node at its bound."""
        pair, alpha = self.pair, self.pair.machines["alpha"]
        alpha.forget_console()
        with Resets(alpha, event) as resets:
            since = time.monotonic() * 1000
            alpha.must("kill -STOP $(pidof hapaird)")
            show(f"alpha's hapaird stands still (SIGSTOP); ccm.poison.reset is {pair.reset}")
            came = resets.wait((SILENT_MS + BOUND_MS) / 1000 + 2 * WATCHDOG_S + 20)
        if came is None:
            raise MachineError(f"alpha was not reset; {pair.logs()}")
        # Its memory is another one by now. Nothing serves pool-a before its new life is seen, which needs a ccmd there.
        alpha.control = None
        alpha.wait_ready()
        self.expect(not self.serves("beta", "pool-a"), "beta does not serve pool-a before it has a proof")
        pair.configure("alpha")
        pair.start_ccmd("alpha")
        pair.wait(lambda: self.serves("beta", "pool-a"), "beta serves pool-a")
        self.show_records("beta", since, TAKEN)
        started = pair.told_ms("beta", "resource-started", "pool-a", since)
        show(f"alpha was reset {came * 1000 - since:.0f} ms after the stop; beta started pool-a {started - came * 1000:.0f} ms after that, "
             "when it saw alpha boot")
        self.expect(came * 1000 + CLOCKS_MS < started, "alpha was reset before beta started pool-a")
        pair.start_agent("alpha")
        pair.wait_well()
        show("alpha is back, and has its pool again")

    def by_sysrq(self):
        """Both nodes configured anew: no watchdog, and sysrq."""
        pair = self.pair
        pair.reset = "sysrq"
        for node in NODES:
            machine = pair.machines[node]
            machine.must("kill $(pidof hapaird); while pidof hapaird; do sleep 0.1; done; "
                         "kill $(pidof ccmd); while pidof ccmd; do sleep 0.1; done", 60)
            pair.configure(node)
        for node in NODES:
            pair.start(node)
        pair.wait_well()


def scenario(lab, built, preset):
    """Exit status: 0 only if in each case the pool's owner had stopped, or was reset, before the other started it."""
    began = time.monotonic()
    _, booted = lab.up(("none", "none"), built(preset, *PROGRAMS))
    show(f"two machines with an i6300esb, up in {booted:.1f} s; poison bound {BOUND_MS} ms, watchdog {WATCHDOG_S} s")
    pair = PoisonPair(lab)
    story = PoisonStory(pair)
    for node in NODES:
        pair.configure(node)
        pair.start(node)
    pair.wait_well()
    story.obeys()
    story.stands_still("WATCHDOG")
    story.by_sysrq()
    story.stands_still("RESET")
    show(f"{len(story.problems)} surprises, {time.monotonic() - began:.0f} s")
    if story.problems:
        raise MachineError("; ".join(story.problems))
    return 0
