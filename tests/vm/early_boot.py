"""How early the partner knows a node that boots: beta, a Debian with systemd and hapair in its initramfs, is rebooted, and
alpha's ccmd tells what it reads of it. Times are counted from beta's power-on (a new QEMU on the same disk)."""

import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field

import image
from debian_machine import DebianMachine, make_initramfs, make_root
from kernel import Kernel
from laboratory import Lab
from machine import NODES, MachineError
from pair import PROGRAMS, Pair

PHASE = re.compile(r", phase (\S+) of incarnation (\d+)(?:, trouble (.*))?, beat (\d+)$")
# What the initramfs does for beta's rail, done by its system.
_ADDRESS = ("modprobe virtio_net; until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip link set eth0 up; "
            "ip addr add 10.9.0.2/24 dev eth0")
BRING_UP = {"iwarp": _ADDRESS, "verbs": f"{_ADDRESS}; modprobe ib_uverbs; modprobe rdma_ucm; modprobe rdma_rxe; "
                                        "rdma link add rxe_eth0 type rxe netdev eth0"}
STORAGE = """[Unit]
Description=storage software of its own
Wants=hapair-phase@storage-starting.service
After=hapair-phase@storage-starting.service
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


def show(text):
    print(text, flush=True)


class EarlyBootLab(Lab):
    """alpha as in every lab; beta with Debian on a disk."""

    def __init__(self, folder, owned=True):
        super().__init__(folder, owned)
        self.machines["beta"] = DebianMachine(folder, "beta")
        self.kernel = Kernel()

    def start_alpha(self, fabric, programs):
        alpha = self.machines["alpha"]
        overlay = image.overlay(os.path.join(self.folder, "overlay.cpio"), programs, {})
        kind = "rxe" if fabric == "verbs" else "none"
        alpha.start(self.kernel.image, image.compressed([image.base(self.kernel, kind), overlay], alpha.path("initramfs")), kind, True)


class EarlyBootPair(Pair):
    patience_s = 180  # its system may still be starting

    def __init__(self, lab, fabric):
        super().__init__(lab, {node: fabric for node in NODES})
        self.fabric = fabric

    def configuration(self, node):
        config = super().configuration(node)
        if node == "beta":
            config["key_file"] = "/etc/hapair/pair.key"
            early = {"interface": "mac:52:54:00:00:00:02", "modules": ["virtio_pci", "virtio_net"]}
            if self.fabric == "verbs":
                early["soft_rdma"] = "rxe"
            config["ccm"]["rails"][0]["early_boot"] = early
        return config

    def logs(self):
        beta = self.machines["beta"]
        said = beta.run("dmesg | grep -E 'hapair|ccmd' | tail -n 20; hapair status; journalctl -b -u ccmd -u hapaird --no-pager | tail -n 20")[1]
        return f"{super().logs()}\n{said}" if beta.pid() else super().logs()

    def looks(self, since_ms=0.0):
        """The lines of alpha's trace that are no more of the same: read in the machine, for there are thousands."""
        words = ("awk '!/^<7>trace/ { next } / [0-9]+ bytes: done after/ && /, phase / { split($0, p, \", phase \"); sub(/, beat.*/, \"\", p[2]); "
                 "if (p[2] == last) next; last = p[2] } !/, phase / && !/mailbox page/ && /bytes: done/ { next } "
                 "/connect to|not connected|lost|: drop/ { last = \"\" } { print }' /tmp/ccmd.log")
        shown = self.machines["alpha"].must(words, 120)
        lines = re.findall(r"^<7>trace ([0-9.]+) rail \S+: (.*)$", shown, re.MULTILINE)
        return [(float(when) * 1000, text) for when, text in lines if float(when) * 1000 >= since_ms]

    def partner_status(self):
        shown = self.hapair("alpha", "status")
        return json.loads(shown)["partner_status"] if shown else {}


@dataclass
class Boot:
    """What was seen of one boot: seconds since power-on."""
    steps: dict
    texts: dict
    incarnations: dict
    log: list = field(default_factory=list)  # of beta's kernel


def observe(pair, powered_s, ordered_s=None):
    """One boot of beta as alpha saw it, and as beta's own clock tells it."""
    beta = pair.machines["beta"]
    alpha_ms, _ = pair.clock_ms("alpha")
    beta_ms, _ = pair.clock_ms("beta")
    since_ms = (ordered_s if ordered_s is not None else powered_s) * 1000 + alpha_ms
    boot = Boot({}, {}, {})

    def note(name, when_ms, text):
        if name not in boot.steps:
            boot.steps[name] = (when_ms - alpha_ms) / 1000 - powered_s
            boot.texts[name] = text

    writes = 0
    for when_ms, text in pair.looks(since_ms):
        seen = PHASE.search(text)
        if "first read answered" not in boot.steps and re.search(r"lost|bytes: (?!done)|not connected", text):
            note("page unreadable", when_ms, text)
        # A busy host may cost the old life a connection on its way down: what answers before the power-on is not the new one.
        if when_ms - alpha_ms < powered_s * 1000:
            if seen:
                boot.steps.pop("page unreadable", None)
                if ordered_s is not None and seen[1].endswith(("stopping", "down")):
                    note(seen[1], when_ms, text)
            continue
        if text.startswith("connected: done"):
            writes = 0
        if seen:
            note("first read answered", when_ms, text)
            note(seen[1], when_ms, text)
            boot.incarnations.setdefault(seen[1], seen[2])
        if "(mailbox page)" in text and ": done" in text:
            writes += 1
            if writes == 2:
                note("handshake complete", when_ms, text)
    log = beta.kernel_log()
    boot.log = [((when - beta_ms / 1000 - powered_s), text) for when, text in log if re.search(r"hapair|ccmd|EXT4|systemd\[1\]: (System|Det)|rdma_rxe|lab:", text)]
    mounted = [when for when, text in log if re.search(r"EXT4-fs \(vda\): mounted", text)]
    own = {"beta mounts its root": mounted[0] if mounted else None, "multi-user.target": beta.reached_s("multi-user.target")}
    for name, when in own.items():
        if when is not None:
            boot.steps[name] = when - beta_ms / 1000 - powered_s
            boot.texts[name] = "beta's own clock"
    return boot


def table(boot):
    for name, when in sorted(boot.steps.items(), key=lambda step: step[1]):
        show(f"  {when:8.2f} s  {name:22} {boot.texts[name]}")
    show("from beta's kernel log:")
    for when, text in boot.log:
        show(f"  {when:8.2f} s  {text}")
    if share := share_of(boot):
        show(f"first read answered at {100 * share:.0f} % of the time to multi-user.target")


def share_of(boot):
    if {"first read answered", "multi-user.target"} <= boot.steps.keys():
        return boot.steps["first read answered"] / boot.steps["multi-user.target"]
    return None


def check_order(boot, hurried=False):
    """Of the steps that were to be; sentences where they were not so. `hurried`: without what a busy host may turn round, which
    are two machines' steps within one second."""
    expected = ["first read answered", "handshake complete", "beta mounts its root", "root", "storage-starting", "storage-active"]
    problems = [f"never seen: {name}" for name in [*expected, "early", "multi-user.target"] if name not in boot.steps]
    if problems:
        return problems
    problems += [f"\"{later}\" came before \"{earlier}\"" for earlier, later in
                 (("first read answered", "handshake complete"), ("first read answered", "beta mounts its root"),
                  ("beta mounts its root", "root"), ("root", "storage-starting"), ("storage-starting", "storage-active"),
                  ("first read answered", "multi-user.target"))
                 if boot.steps[later] < boot.steps[earlier] and not (hurried and later == "beta mounts its root")]
    if boot.steps["first read answered"] != boot.steps["early"]:
        problems.append(f"the first page that was read was not in phase early: {boot.texts['first read answered']}")
    if len(set(boot.incarnations.values())) != 1:
        problems.append(f"the incarnation did not stay: {boot.incarnations}")
    return problems


def check_kernel_log(boot):
    """What ccmd had to say in the initramfs is where an operator can read it."""
    said = "\n".join(text for _, text in boot.log)
    words = {"what it is": r"ccmd \S+ of node beta", "that its rail is up": r"ccmd: rail one: \S+ is up with"}
    return [f"ccmd has not told the kernel's log {what}" for what, pattern in words.items() if not re.search(pattern, said)]


def check_adoption(pair):
    """The process of the initramfs is the service's; sentences where not."""
    beta = pair.machines["beta"]
    early = json.loads(beta.must("cat /run/hapair/early-boot.json"))
    main = beta.service("ccmd.service", "MainPID")
    group = beta.must(f"cat /proc/{early['pid']}/cgroup").strip()
    root = beta.must(f"stat -L -c '%d:%i' /proc/{early['pid']}/root; stat -c '%d:%i' /").split()
    show(f"ccmd.service: {beta.service('ccmd.service', 'ActiveState')}, MainPID {main}; the initramfs started process {early['pid']}, "
         f"which is in {group}, its root is {'that of the system' if root[0] == root[1] else 'not that of the system'}")
    problems = []
    if main != str(early["pid"]):
        problems.append(f"ccmd.service has process {main}, the initramfs started {early['pid']}")
    if not group.endswith("/ccmd.service"):
        problems.append(f"the process of the initramfs is in {group}")
    if root[0] != root[1]:
        problems.append("the process of the initramfs has not followed to the real root")
    if early["problems"]:
        problems.append(f"it had problems: {early['problems']}")
    return problems


def check_storage_unit(pair):
    """Software that hapaird does not start has told its phase as hapair-phase@.service says that it can."""
    beta = pair.machines["beta"]
    unit = "hapair-phase@storage-starting.service"
    said = beta.service(unit, "ActiveState"), beta.service(unit, "ExecMainStatus"), beta.service("lab-storage.service", "ActiveState")
    show(f"{unit}: {said[0]}, exit status {said[1]}; the unit that wants it: {said[2]}")
    return [] if said == ("active", "0", "active") else [f"{unit} and the unit that wants it: {said}"]


def with_storage_unit(root):
    root.write("/etc/systemd/system/lab-storage.service", STORAGE)
    # Emulated on a slow host, a program takes seconds to start; the unit's own bound is for real machines.
    root.write("/etc/systemd/system/hapair-phase@.service.d/lab.conf", "[Service]\nTimeoutStartSec=90s\n")
    root.run("systemctl", "enable", "lab-storage")


def check_restart(pair):
    before = pair.partner_status()
    pair.machines["beta"].must("systemctl restart ccmd")
    after = pair.wait(lambda: (now := pair.partner_status()) and now["incarnation"] not in (before["incarnation"], 0, "0") and now,
                      "alpha reads a new incarnation of beta's ccmd")
    show(f"systemctl restart ccmd: incarnation {before['incarnation']} became {after['incarnation']}, boot id "
         f"{'the same' if after['boot_id'] == before['boot_id'] else 'another'}, phase {after['phase']}")
    return [] if after["boot_id"] == before["boot_id"] else ["a restart of ccmd changed the boot id"]


def reboot(pair, lab):
    """Moments on the host's clock: of the order, and of the power-on."""
    beta = pair.machines["beta"]
    ordered = time.monotonic()
    beta.send("systemctl reboot")
    beta.wait_off()
    return ordered, beta.boot(lab.kernel)


def start_pair(lab, built, given, more=lambda root: None, words=""):
    """Both run and each pool is at home. `more`: with beta's root before its disk is made of it."""
    began = time.monotonic()
    pair = EarlyBootPair(lab, given.fabric)
    lab.start_alpha(given.fabric, built(given.preset, *PROGRAMS, "hapair_ports")[:-1])
    beta = lab.machines["beta"]
    root = make_root(beta, lab.kernel, given.preset, pair.configuration("beta"), pair.key)
    if said := make_initramfs(root, beta.path("initramfs"), given.initramfs).strip():
        show(f"{given.initramfs} said:\n{said}")
    more(root)
    root.make_disk(beta.path("disk"))
    shutil.rmtree(root.folder)
    lab.machines["alpha"].wait_ready()
    show(f"alpha is up, beta's disk and its initramfs by {given.initramfs} are made, {time.monotonic() - began:.0f} s")
    pair.configure("alpha")
    pair.start("alpha")
    beta.boot(lab.kernel, words=words)
    beta.wait_multi_user()
    pair.wait_well()
    show(f"beta has booted for the first time and each pool is at home, {time.monotonic() - began:.0f} s")
    return pair


def scenario(lab, built, given):
    began = time.monotonic()
    pair = start_pair(lab, built, given, with_storage_unit)
    beta = lab.machines["beta"]
    ordered, powered = reboot(pair, lab)
    beta.wait_multi_user()
    pair.wait_well()
    boot = observe(pair, powered, ordered)
    show(f"beta was rebooted ({given.fabric}, {given.initramfs}); seconds since power-on, which was {powered - ordered:.1f} s after the order:")
    table(boot)
    problems = check_order(boot, given.hurried) + check_kernel_log(boot) + check_adoption(pair) + check_storage_unit(pair) + check_restart(pair)
    for problem in problems:
        show(f"NOT AS EXPECTED: {problem}")
    show(f"{len(problems)} surprises, {time.monotonic() - began:.0f} s")
    if problems:
        raise MachineError("the early boot was not as expected")
    return 0
