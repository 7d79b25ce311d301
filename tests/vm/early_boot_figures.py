"""What the early boot gives and what it costs: when the partner's first read is answered, how much longer a boot takes whose
partner is absent, and how many bytes the initramfs has more."""

import os
import shutil
import statistics
import subprocess
import time

from debian_machine import DebianMachine, holds, make_initramfs
from early_boot import BRING_UP, observe, reboot, share_of, show, start_pair
from machine import MachineError

COUNTED_BOOT_S = 600
DONE = "LAB MULTI-USER"


def spread(values, form):
    return " / ".join(form.format(value) for value in (min(values), statistics.median(values), max(values)))


def early_reads(pair, lab, count):
    shares, firsts = [], []
    for number in range(count):
        ordered, powered = reboot(pair, lab)
        pair.machines["beta"].wait_multi_user()
        pair.wait_well()
        boot = observe(pair, powered, ordered)
        if (share := share_of(boot)) is None:
            raise RuntimeError(f"boot {number + 1} has no first read or no multi-user.target: {boot.steps}")
        shares.append(100 * share)
        firsts.append(boot.steps["first read answered"])
        show(f"  boot {number + 1}: first read at {firsts[-1]:.2f} s, multi-user.target at {boot.steps['multi-user.target']:.2f} s, "
             f"{shares[-1]:.1f} %")
    show(f"first read answered, {count} boots, min / median / max: {spread(firsts, '{:.2f} s')}; of the time to multi-user.target "
         f"{spread(shares, '{:.1f} %')}")


def boot_side_by_side(lab, first, second):
    """Seconds from the kernel's start to multi-user.target of two machines with these initramfs, at the same time on one disk's
    content, nobody on the other end. By clocks that count instructions: what slows the host down is not in it."""
    machines = [lab.machines["beta"], lab.machines["twin"]]
    for machine, initramfs in zip(machines, (first, second)):
        machine.boot(lab.kernel, initramfs)
    for machine in machines:
        # Its console tells, so that nobody has to ask: each question would be instructions.
        until = time.monotonic() + COUNTED_BOOT_S
        while DONE not in machine.console():
            if time.monotonic() > until:
                raise MachineError(f"{machine.node} was not up after {COUNTED_BOOT_S} s; the end of its console: {machine.console()[-2500:]}")
            time.sleep(0.5)
    took = [machine.reached_s("multi-user.target") for machine in machines]
    for machine in machines:
        machine.power_off()
    return took


def make_twin(lab):
    """Beside beta, with a copy of its disk; what either writes from now on is forgotten with its power."""
    beta = lab.machines["beta"]
    beta.send("systemctl poweroff")
    beta.wait_off()
    twin = lab.machines["twin"] = DebianMachine(os.path.join(lab.folder, "twins"), "beta")
    for name in ("disk", "initramfs", "without"):
        subprocess.run(["cp", "--sparse=always", beta.path(name), twin.path(name)], check=True)
    for machine in (beta, twin):
        machine.forgets = machine.counts = True


def without_partner(lab, count):
    lab.machines["alpha"].power_off()
    make_twin(lab)
    longer = []
    for number in range(count):
        # By turns: neither machine, nor the one that is started first, is favoured.
        without_first = number % 2 == 0
        took = boot_side_by_side(lab, *(("without", "initramfs") if without_first else ("initramfs", "without")))
        without, with_it = took if without_first else reversed(took)
        longer.append(100 * (with_it / without - 1))
        show(f"  pair {number + 1}: without {without:.2f} s, with {with_it:.2f} s, {longer[-1]:+.2f} %")
    show(f"a boot whose partner is absent takes longer, {count} pairs side by side, by clocks that count instructions, min / median / max: "
         f"{spread(longer, '{:+.2f} %')}")


def packed_bytes(archive, folder, unwanted):
    """Of the archive without these files, packed as initramfs-tools packs."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    subprocess.run(["sh", "-c", f"zstd -dcq '{archive}' | cpio -id --quiet"], check=True, cwd=folder)
    for name in unwanted:
        os.unlink(os.path.join(folder, name))
    packed = subprocess.run(["sh", "-c", "find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | zstd -q -9 -c"], check=True, cwd=folder,
                            capture_output=True).stdout
    shutil.rmtree(folder)
    return len(packed)


def image_bytes(beta):
    there, before = beta.path("initramfs"), beta.path("without")
    more = sorted(set(holds(there)) - set(holds(before)))
    modules = [name for name in more if ".ko" in name]
    folder = beta.path("unpacked")
    base, whole, slim = (packed_bytes(archive, folder, unwanted) for archive, unwanted in ((before, []), (there, []), (there, modules)))
    show(f"the initramfs has {len(more)} names more, {len(modules)} of them kernel modules; packed {base} bytes without hapair, {whole} with "
         f"it: {(whole - base) / 2**20:.2f} MiB, of which not modules {(slim - base) / 2**20:.2f} MiB")


def without_hook(root, beta, how, fabric):
    root.unlink("/usr/share/initramfs-tools/hooks/hapair")
    root.unlink("/usr/share/initramfs-tools/scripts/init-top/hapair")
    shutil.rmtree(root.path("/usr/lib/dracut/modules.d/90hapair"))
    make_initramfs(root, beta.path("without"), how)
    root.write("/etc/systemd/system/lab-done.service", f"[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\n"
               f"ExecStart=/bin/sh -c 'echo {DONE} >/dev/console'\n[Install]\nWantedBy=multi-user.target\n")
    # Without the hook the system itself brings up the interconnect that its ccmd needs.
    root.write("/etc/systemd/system/lab-interconnect.service", "[Unit]\nBefore=ccmd.service\nConditionPathExists=!/run/hapair/early-boot.json\n"
               f"[Service]\nType=oneshot\nExecStart=/bin/sh -c '{BRING_UP[fabric]}'\n[Install]\nWantedBy=ccmd.service\n")
    root.run("systemctl", "enable", "lab-done", "lab-interconnect")


def measure(lab, built, given):
    pair = start_pair(lab, built, given, lambda root: without_hook(root, lab.machines["beta"], given.initramfs, given.fabric))
    image_bytes(lab.machines["beta"])
    if given.only != "cost":
        early_reads(pair, lab, given.figures)
    if given.only != "share":
        without_partner(lab, given.figures)
    return 0
