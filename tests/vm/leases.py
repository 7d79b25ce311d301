"""Leases on a shared disk, in two machines without a fence device: a node that is cut off from everything stops its pool before its
partner starts it, and one whose agent hangs is reset by its watchdog first. The mailbox disk is one image that both have."""

import json
import os
import time

from laboratory import Lab
from machine import NODES, Machine, MachineError
from pair import PROGRAMS, Pair, other
from watchdog import Resets

WATCHDOG_S = 3
LEASE_MS, STOP_MS = 4000, 4000
OVER_MS = LEASE_MS + STOP_MS + (2 * WATCHDOG_S + 1) * 1000  # what an owner tells its partner: agent/core/lease.h
MAILBOX = "/dev/vda"
MAILBOX_BYTES = 1 << 20
CLOCKS_MS = 300  # two machines' clocks, read over a serial port of an emulated machine


def show(text):
    print(text, flush=True)


class LeaseMachine(Machine):
    def more_hardware(self):
        image = os.path.join(self.lab, "mailbox.img")
        return ["-device", "i6300esb", "-action", "watchdog=reset",
                "-blockdev", f"driver=file,filename={image},locking=off,node-name=mailbox-file",
                "-blockdev", "driver=raw,file=mailbox-file,node-name=mailbox",
                "-device", "virtio-blk-pci,drive=mailbox,share-rw=on,write-cache=off"]


class LeaseLab(Lab):
    more_modules = ("virtio_blk",)

    def __init__(self, folder):
        super().__init__(folder, owned=True)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "mailbox.img"), "wb") as image:
            image.truncate(MAILBOX_BYTES)
        self.machines = {node: LeaseMachine(folder, node) for node in NODES}


class LeasePair(Pair):
    def __init__(self, lab):
        super().__init__(lab, {node: "iwarp" for node in NODES})

    def configuration(self, node):
        configuration = super().configuration(node)
        configuration["ccm"] |= {"watchdog": {"device": "/dev/watchdog0", "timeout_ms": WATCHDOG_S * 1000},
                                 "mailbox_disks": [{"name": "mailbox", "device": MAILBOX}]}
        configuration |= {"arbiter": "mailbox", "lease": {"duration_ms": LEASE_MS, "stop_ms": STOP_MS}, "fencing": {"devices": []}}
        return configuration

    def configure(self, node):
        super().configure(node)
        self.machines[node].must(f"modprobe -a i6300esb virtio_blk; until [ -b {MAILBOX} ]; do sleep 0.1; done")

    def under_leases(self):
        """Each pool at home and leased, and the partner may wait for the end of that."""
        for node in NODES:
            pools = self.pools(node)
            home, away = f"pool-{node[0]}", f"pool-{other(node)[0]}"
            if not pools or not pools[home].get("leased") or pools[home]["state"] != "serving" or not pools[away].get("armed"):
                return False
        return True


class Story:
    def __init__(self, pair):
        self.pair = pair
        self.problems = []

    def expect(self, told, what):
        if not told:
            self.problems.append(what)
            show(f"NOT AS EXPECTED: {what}")

    def show_records(self, node, since_ms, kinds):
        offset_ms, _ = self.pair.clock_ms(node)
        for record in self.pair.records(node, since_ms + offset_ms):
            if record["kind"] in kinds:
                show(f"  {node} {record['when_ns'] / 1e6 - offset_ms - since_ms:8.0f} ms  {record['text']}")

    def cut_off(self):
        """alpha loses every link and the disk: nothing of it can be seen, and it can see nothing."""
        pair, alpha = self.pair, self.pair.machines["alpha"]
        device = alpha.must(f"basename $(readlink /sys/block/{os.path.basename(MAILBOX)}/device)").strip()
        since = time.monotonic() * 1000
        alpha.must(f"echo {device} > /sys/bus/virtio/drivers/virtio_blk/unbind")
        alpha.fault("link-cut")
        show("alpha is cut off from beta and from the mailbox disk")
        pair.wait(lambda: pair.pools("beta").get("pool-a", {}).get("state") == "serving", "beta serves pool-a")
        stopped = pair.told_ms("alpha", "resource-stopped", "pool-a", since)
        started = pair.told_ms("beta", "resource-started", "pool-a", since)
        decided = pair.told_ms("beta", "claim-decided", "pool-a", since)
        self.show_records("alpha", since, ("verdict", "lease-given-up", "lease-lost", "resource-stopped"))
        self.show_records("beta", since, ("verdict", "claim-decided", "permit", "pool-serving"))
        self.expect(stopped is not None, "alpha stopped pool-a")
        self.expect(not pair.runs("alpha", "pool-a"), "nothing of pool-a runs on alpha")
        if None in (stopped, started, decided):
            self.problems.append(f"times are missing: stopped {stopped}, decided {decided}, started {started}")
            return
        show(f"pool-a: stopped by alpha {stopped - since:.0f} ms after the cut, started by beta {started - stopped:.0f} ms after that "
             f"({started - decided:.0f} ms after its claim was decided; told by alpha: {OVER_MS} ms)")
        self.expect(stopped + CLOCKS_MS < started, "alpha had stopped pool-a before beta started it")
        self.expect(started - decided >= OVER_MS, "beta waited for as long as alpha's lease may last")
        alpha.must(f"echo {device} > /sys/bus/virtio/drivers/virtio_blk/bind; until [ -b {MAILBOX} ]; do sleep 0.1; done")
        alpha.fault("link-heal")
        pair.wait_well()
        pair.wait(pair.under_leases, "both serve under leases again")
        show("all is mended: each pool is at home, under a lease")

    def agent_hangs(self):
        """alpha's agent stands still, its pool and its ccmd run on: nobody but the watchdog can end that."""
        pair, alpha = self.pair, self.pair.machines["alpha"]
        alpha.forget_console()
        with Resets(alpha) as resets:
            since = time.monotonic() * 1000
            alpha.must("kill -STOP $(pidof hapaird)")
            show("alpha's hapaird stands still (SIGSTOP)")
            pair.wait(lambda: pair.pools("beta").get("pool-a", {}).get("state") == "serving", "beta serves pool-a")
            came = resets.wait(0)
        self.show_records("beta", since, ("verdict", "claim-decided", "permit", "pool-serving"))
        started = pair.told_ms("beta", "resource-started", "pool-a", since)
        if came is None:
            self.problems.append("alpha's watchdog did not reset it")
            return
        show(f"alpha was reset {came * 1000 - since:.0f} ms after the stop; beta started pool-a {started - came * 1000:.0f} ms after that")
        self.expect(came * 1000 + CLOCKS_MS < started, "alpha was reset before beta started pool-a")
        # Its memory is another one by now.
        alpha.control = None
        alpha.wait_ready()
        pair.configure("alpha")
        pair.start("alpha")
        pair.wait_well()
        pair.wait(pair.under_leases, "both serve under leases again")
        show("alpha is back, and each pool at home under a lease")


def scenario(lab, built, preset):
    """Exit status: 0 only if in each case the owner had stopped, or was reset, before the other started."""
    began = time.monotonic()
    _, booted = lab.up(("none", "none"), built(preset, *PROGRAMS))
    show(f"two machines with an i6300esb and one mailbox disk, up in {booted:.1f} s; lease {LEASE_MS} ms, stop {STOP_MS} ms, watchdog {WATCHDOG_S} s")
    pair = LeasePair(lab)
    story = Story(pair)
    for node in NODES:
        pair.configure(node)
    show(pair.machines["alpha"].must(f"hapair mailbox init {MAILBOX}").strip())
    for node in NODES:
        pair.start(node)
    pair.wait_well()
    pair.wait(pair.under_leases, "both serve under leases")
    show(pair.machines["beta"].must("hapair status").rstrip())
    story.cut_off()
    story.agent_hangs()
    show(f"{len(story.problems)} surprises, {time.monotonic() - began:.0f} s")
    if story.problems:
        raise MachineError("; ".join(story.problems))
    return 0
