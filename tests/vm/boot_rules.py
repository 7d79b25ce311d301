"""The rules of start-up, with whole machines: two Debians with hapair in their initramfs, and power that comes and goes. What
may serve is decided by what each reads of the other, and nobody is fenced."""

import json
import shutil
import time

from debian_machine import DebianMachine, make_initramfs, make_root
from early_boot import show
from kernel import Kernel
from laboratory import Lab
from machine import NODES, MachineError
from pair import Pair, other

STALL_BOUND_MS = 15000
HOLD_MS = 120000


class RulesLab(Lab):
    """Both with Debian on a disk."""

    def __init__(self, folder, owned=True):
        super().__init__(folder, owned)
        self.machines = {node: DebianMachine(folder, node) for node in NODES}
        self.kernel = Kernel()


class RulesPair(Pair):
    patience_s = 240

    def __init__(self, lab, fabric):
        super().__init__(lab, {node: fabric for node in NODES})
        self.fabric = fabric
        self.problems = []

    def configuration(self, node):
        config = super().configuration(node)
        config["key_file"] = "/etc/hapair/pair.key"
        early = {"interface": f"mac:52:54:00:00:00:0{NODES.index(node) + 1}", "modules": ["virtio_pci", "virtio_net"]}
        if self.fabric == "verbs":
            early["soft_rdma"] = "rxe"
        config["ccm"]["rails"][0]["early_boot"] = early
        # Who would rather wait for a reboot than fence lets silence stand for longer than a machine needs to its initramfs.
        config["takeover"]["hold_ms"] = HOLD_MS
        config["heartbeat"]["phase_bounds_ms"] = {"early": STALL_BOUND_MS}
        return config

    # ---- what it says

    def status(self, node):
        shown = self.hapair(node, "status")
        return json.loads(shown) if shown else None

    def pools(self, node):
        status = self.status(node)
        return {pool["name"]: pool["state"] for pool in status["pools"]} if status else {}

    def logs(self):
        words = "hapair status; hapair events --last 25; journalctl --no-pager -u ccmd -n 10"
        return "\n".join(f"{node}: {machine.run(words)[1]}" for node, machine in self.machines.items() if machine.pid())

    def of_this_boot(self, node, since_ms):
        """Its clock begins anew with each boot, its records do not."""
        records = self.records(node, 0)
        began = max((i for i in range(1, len(records)) if records[i]["when_ns"] < records[i - 1]["when_ns"]), default=0)
        return [record for record in records[began:] if record["when_ns"] / 1e6 >= since_ms]

    def now_ms(self, node):
        return self.clock_ms(node)[0] + time.monotonic() * 1000

    def tell(self, node, since_ms, kinds):
        """The records of these kinds since then, as an operator reads them."""
        for record in self.of_this_boot(node, since_ms):
            if record["kind"] in kinds:
                show(f"  {record['when_ns'] / 1e9 - since_ms / 1e3:7.2f} s  {node}: {record['text']}")

    def expect(self, met, sentence):
        show(f"  {'as expected' if met else 'NOT AS EXPECTED'}: {sentence}")
        if not met:
            self.problems.append(sentence)

    def nobody_was_fenced(self, node, since_ms):
        fences = [record["text"] for record in self.of_this_boot(node, since_ms) if record["kind"].startswith("fence")]
        self.expect(not fences, f"{node} fenced nobody{': ' + '; '.join(fences) if fences else ''}")

    def each_at_home(self):
        return all(self.pools(node) == {f"pool-{node[0]}": "serving", f"pool-{other(node)[0]}": "elsewhere"} for node in NODES)

    # ---- power

    def cut_power(self, *nodes):
        for node in nodes:
            self.machines[node].power_off()

    def power_on(self, *nodes, words=""):
        for node in nodes:
            self.machines[node].boot(self.lab.kernel, words=words)


TOLD = ("verdict", "permit", "pool-serving", "phase-stalled", "phase-moved-on", "waits-for-partner")


def power_reset(pair):
    """The owner's power is cut and comes back: what it publishes from its initramfs is the proof."""
    since = pair.now_ms("alpha")
    pair.cut_power("beta")
    pair.power_on("beta")
    taken = pair.wait(lambda: next((r for r in pair.of_this_boot("alpha", since) if r["kind"] == "pool-serving"), None), "alpha serves pool-b")
    pair.wait(pair.each_at_home, "pool-b was given back")
    pair.tell("alpha", since, TOLD)
    pair.expect("rebooted" in taken["text"], f"pool-b was taken over on the evidence that beta rebooted: {taken['text']}")
    pair.nobody_was_fenced("alpha", since)


def both_power_cycled(pair):
    pair.cut_power(*NODES)
    pair.power_on(*NODES)
    for node in NODES:
        pair.machines[node].wait_multi_user()
    pair.wait(pair.each_at_home, "each pool is at home")
    for node in NODES:
        show(f"  {node} {pair.status(node)['state']}: {pair.pools(node)}")
        pair.nobody_was_fenced(node, 0)
    pair.expect(True, "each ended with its own pool")


def one_alone(pair):
    """It has no partner to ask and nothing that could prove the partner's end."""
    pair.cut_power(*NODES)
    pair.power_on("alpha")
    pair.machines["alpha"].wait_multi_user()
    waiting = pair.wait(lambda: (now := pair.status("alpha")) and now["state"] == "isolated" and now, "alpha says that it waits")
    show(f"  alpha {waiting['state']}: {waiting.get('reason', '')}")
    served = "serving" in pair.pools("alpha").values()
    pair.expect(not served and "beta" in waiting.get("reason", ""), "alpha serves nothing and says for what it waits")
    pair.power_on("beta")
    pair.wait(pair.each_at_home, "each pool is at home once beta has answered")
    pair.tell("alpha", 0, TOLD)
    for node in NODES:
        pair.nobody_was_fenced(node, 0)


def stalled(pair):
    """Its initramfs does not get to the real root: it waits for a disk that is not there."""
    since = pair.now_ms("alpha")
    pair.cut_power("beta")
    pair.power_on("beta", words="root=/dev/vdz rootdelay=900")
    told = pair.wait(lambda: next((r for r in pair.of_this_boot("alpha", since) if r["kind"] == "phase-stalled"), None),
                      "alpha reports the stalled boot")
    pair.tell("alpha", since, TOLD)
    pair.expect("early" in told["text"], f"the stall is reported: {told['text']}")
    pair.expect(pair.pools("alpha") == {"pool-a": "serving", "pool-b": "serving"}, "pool-b stays with alpha")
    pair.nobody_was_fenced("alpha", since)
    pair.cut_power("beta")
    pair.power_on("beta")
    pair.wait(pair.each_at_home, "pool-b was given back after an ordinary boot")


CASES = {"power-reset": power_reset, "both-power-cycled": both_power_cycled, "one-alone": one_alone, "stalled": stalled}


def prepare(lab, pair, preset):
    for node, machine in lab.machines.items():
        root = make_root(machine, lab.kernel, preset, pair.configuration(node), pair.key)
        make_initramfs(root, machine.path("initramfs"), "initramfs-tools")
        root.make_disk(machine.path("disk"))
        shutil.rmtree(root.folder)


def scenario(lab, built, given):
    began = time.monotonic()
    built(given.preset, "ccmd", "hapaird", "hapair", "hapair_ports")
    pair = RulesPair(lab, given.fabric)
    prepare(lab, pair, given.preset)
    pair.power_on(*NODES)
    for machine in lab.machines.values():
        machine.wait_multi_user()
    pair.wait(pair.each_at_home, "each pool is at home")
    show(f"two Debians with hapair in their initramfs, each pool at home, {time.monotonic() - began:.0f} s")
    for name in given.case or CASES:
        show(f"{name}:")
        CASES[name](pair)
    show(f"{len(pair.problems)} surprises, {time.monotonic() - began:.0f} s")
    if pair.problems:
        raise MachineError("the rules of start-up were not kept")
    return 0
