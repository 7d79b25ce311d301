"""What the early boot gives and what it costs: when the partner's first read is answered, how much longer a boot takes whose
partner is absent, and how many bytes the initramfs has more."""

import os
import shutil
import statistics
import subprocess

from debian_machine import holds, make_initramfs
from early_boot import observe, reboot, share_of, show, start_pair


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


def boot_alone(lab, initramfs):
    """Seconds from power-on to multi-user.target, nobody on the other end: on the clock, and of the processor, which a busy host
    does not lengthen so much."""
    beta = lab.machines["beta"]
    beta.send("systemctl poweroff")
    beta.wait_off()
    powered = beta.boot(lab.kernel, initramfs)
    beta.wait_multi_user()
    with open(f"/proc/{beta.pid()}/stat", encoding="ascii") as file:
        ticks = file.read().rsplit(")", 1)[1].split()[11:13]
    spent = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return beta.reached_s("multi-user.target") - beta.clock_ms()[0] / 1000 - powered, spent


def without_partner(lab, count):
    lab.machines["alpha"].power_off()
    ratios = {"clock": [], "processor": []}
    for number in range(count):
        # By turns, so that a host that becomes slower weighs on both.
        kinds = ("without", "initramfs") if number % 2 == 0 else ("initramfs", "without")
        took = {kind: boot_alone(lab, kind) for kind in kinds}
        for (name, all_of_it), with_it, without in zip(ratios.items(), took["initramfs"], took["without"]):
            all_of_it.append(100 * (with_it / without - 1))
            show(f"  pair {number + 1}, {name}: without {without:.2f} s, with {with_it:.2f} s, {all_of_it[-1]:+.1f} %")
    for name, all_of_it in ratios.items():
        show(f"a boot whose partner is absent takes longer by the {name}, {count} pairs, min / median / max: {spread(all_of_it, '{:+.1f} %')}")


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


def without_hook(root, beta, how):
    root.unlink("/usr/share/initramfs-tools/hooks/hapair")
    root.unlink("/usr/share/initramfs-tools/scripts/init-top/hapair")
    shutil.rmtree(root.path("/usr/lib/dracut/modules.d/90hapair"))
    make_initramfs(root, beta.path("without"), how)


def measure(lab, built, given):
    pair = start_pair(lab, built, given, lambda root: without_hook(root, lab.machines["beta"], given.initramfs))
    image_bytes(lab.machines["beta"])
    early_reads(pair, lab, given.figures)
    without_partner(lab, given.figures)
    return 0
