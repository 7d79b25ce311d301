"""A boot with what is wrong in its initramfs, and a kernel that panics with a crash kernel loaded."""

import json
import os
import re
import shutil
import time

from debian_machine import make_initramfs
from early_boot import BRING_UP, PHASE, show, start_pair
from machine import MachineError

ABSENT = "mac:52:54:00:ff:ff:ff"
OFF = "hapair.early_boot=off"


def bad_images(root, beta, how):
    """As if the image had been built before the key was there, with a key that was changed since, and for an interface that
    the machine has not."""
    key, config = root.path("/etc/hapair/pair.key"), root.path("/etc/hapair/hapair.json")
    with open(key, "rb") as file:
        right_key = file.read()
    with open(config, encoding="utf-8") as file:
        right = json.load(file)
    os.unlink(key)
    said = make_initramfs(root, beta.path("no-key"), how)
    root.write("/etc/hapair/pair.key", os.urandom(32), 0o600)
    make_initramfs(root, beta.path("wrong-key"), how)
    root.write("/etc/hapair/pair.key", right_key, 0o600)
    wrong = json.loads(json.dumps(right))
    wrong["ccm"]["rails"][0]["early_boot"]["interface"] = ABSENT
    root.write("/etc/hapair/hapair.json", json.dumps(wrong), 0o600)
    make_initramfs(root, beta.path("no-interface"), how)
    os.unlink(config)
    make_initramfs(root, beta.path("no-configuration"), how)
    root.write("/etc/hapair/hapair.json", json.dumps(right), 0o600)
    warned = [line for line in said.splitlines() if "pair.key" in line]
    show(f"built without the key, {how} says: {warned}")
    return [] if warned else ["the build of an initramfs without a key said nothing of it"]


def bad_boot(pair, lab, kind, expected, words=""):
    """`kind`: an image. `expected`: a pattern for what beta says of itself once it is up. What was not as expected."""
    beta = pair.machines["beta"]
    beta.send("systemctl reboot")
    beta.wait_off()
    alpha_ms, _ = pair.clock_ms("alpha")
    powered = beta.boot(lab.kernel, kind, words)
    beta.wait_multi_user()
    if words:
        kind = words
    if kind in ("no-interface", "no-configuration", OFF):
        # Nothing else sets this machine's addresses up: as its system's network configuration would have.
        beta.must(BRING_UP[pair.fabric])
    pair.wait_well()
    seen = [match for _, text in pair.looks(powered * 1000 + alpha_ms) if (match := PHASE.search(text))]
    log = "\n".join(text for _, text in beta.kernel_log() if re.search("hapair|ccmd", text))
    note = beta.run("cat /run/hapair/early-boot.json")[1]
    status = beta.run("hapair status")[1]
    show(f"{kind}: alpha read " + ", ".join(f"{m[1]}{f' (trouble {m[3]})' if m[3] else ''}" for m in seen))
    show("  " + "\n  ".join(line for line in log.splitlines() if not line.startswith("session")))
    show("  hapair status: " + "; ".join(line.strip() for line in status.splitlines() if re.search("initramfs|early boot", line)))
    problems = []
    # An operator's own word on the command line is no trouble to repeat.
    if not re.search(expected, log if kind == OFF else status):
        problems.append(f"{kind}: {'the kernel log' if kind == OFF else 'hapair status'} of beta does not say \"{expected}\": {note} {status}")
    if kind == "no-key" and not any(m[1] == "early" and m[3] and "key" in m[3] for m in seen):
        problems.append("no-key: alpha has not read that beta has no key")
    if kind == OFF and any(m[1] == "early" for m in seen):
        problems.append(f"{OFF}: alpha has read phase early")
    return problems


def bad_input(lab, built, given):
    found = []
    pair = start_pair(lab, built, given, lambda root: found.extend(bad_images(root, lab.machines["beta"], given.initramfs)))
    for kind, expected in (("no-key", "it has no key"), ("wrong-key", "its key is not the one"),
                           ("no-interface", r"rail one: its interface \(\S+\) had not appeared"),
                           ("no-configuration", "has no ccmd or no plan")):
        found += bad_boot(pair, lab, kind, expected)
    found += bad_boot(pair, lab, "initramfs", f"turned off by {OFF}", OFF)
    for problem in found:
        show(f"NOT AS EXPECTED: {problem}")
    if found:
        raise MachineError("a boot with bad input was not as expected")
    show("each booted, said what was wrong, and was connected and well in the end; 0 surprises")
    return 0


def with_crash_kernel(root, beta, kernel):
    shutil.copy(kernel.image, root.path("/boot/vmlinuz"))
    shutil.copy(beta.path("initramfs"), root.path("/boot/initramfs"))


def panic(lab, built, given):
    beta = lab.machines["beta"]
    pair = start_pair(lab, built, given, lambda root: with_crash_kernel(root, beta, lab.kernel), "crashkernel=160M")
    # It stays in the initramfs: what a dump would be written by.
    stay = "break=premount" if given.initramfs == "initramfs-tools" else "rd.break=pre-mount"
    beta.must("kexec -p /boot/vmlinuz --initrd=/boot/initramfs --append='console=ttyS0 nokaslr mitigations=off tsc=reliable no_timer_check "
              f"random.trust_cpu=on net.ifnames=0 nr_cpus=1 irqpoll reset_devices panic=0 root=/dev/vda ro {stay}' && "
              "test $(cat /sys/kernel/kexec_crash_loaded) = 1")
    alpha_ms, blur_ms = pair.clock_ms("alpha")
    at_ms = time.monotonic() * 1000 + alpha_ms
    beta.fault("panic")

    def looks():
        return [(when, text) for when, text in pair.looks(at_ms) if (m := PHASE.search(text)) and m[1] == "panicked"]

    when_ms, text = pair.wait(lambda: next(iter(looks()), None), "alpha reads phase panicked")
    record = pair.wait(lambda: next((r for r in pair.records("alpha", at_ms) if r["kind"] == "verdict"
                                     and r["fields"]["verdict"] == "panicked"), None), "alpha's verdict is panicked")
    for when, what in pair.looks(at_ms)[:6]:
        show(f"  {(when - at_ms) / 1000:8.2f} s  {what}")
    show(f"  {(when_ms - at_ms) / 1000:8.2f} s  first read of phase panicked: {text}")
    show(f"  {record['when_ns'] / 1e9 - at_ms / 1000:8.2f} s  verdict panicked, after the panic (+- {blur_ms:.0f} ms): {record['text']}")
    show("0 surprises")
    return 0
