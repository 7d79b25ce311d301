"""A machine of the lab with Debian on a disk: its initramfs is made by Debian's own tools with hapair's hook, its system has
hapair as `cmake --install` leaves it."""

import json
import os
import re
import shutil
import subprocess
import time

from debian import Root
from kernel import ROOT, quietly
from machine import Machine, MachineError

HERE = os.path.dirname(os.path.abspath(__file__))
BOOT_S = 600
ANSWER_S = 30
# Of the disk and of the shell's port: what any machine's initramfs has.
DISK_MODULES = "virtio_pci virtio_blk ext4".split()
SYSTEM_MODULES = ("autofs4 nfsd dm_mod configfs loop virtio_pci virtio_console virtio_rng virtio_net ib_uverbs rdma_ucm rdma_rxe "
                  "crc32_generic").split()
UNITS = "ccmd hapaird hapair-storage-stopping hapair-shutting-down".split()
# Dracut's modules for both of its kinds of init.
DRACUT_BASE = "base fs-lib rootfs-block udev-rules kernel-modules usrmount hapair"
DRACUT_SYSTEMD = "systemd systemd-initrd dracut-systemd"
INITRAMFS = {"initramfs-tools": [], "dracut": ["--omit", DRACUT_SYSTEMD, "--modules", DRACUT_BASE],
             "dracut-systemd": ["--modules", f"{DRACUT_SYSTEMD} {DRACUT_BASE} shutdown"]}

SHELL = """[Unit]
Description=the lab's shell
DefaultDependencies=no
After=systemd-udevd.service
[Service]
KillMode=process
ExecStart=/bin/sh -c 'modprobe virtio_console; until ls /dev/vport*p1 >/dev/null 2>&1; do sleep .1; done; \
exec 3<>$(ls /dev/vport*p1); while :; do cat <&3 | setsid sh >&3 2>&1; sleep .1; done'
[Install]
WantedBy=basic.target
"""


class DebianMachine(Machine):
    memory_mb = 1024
    words = ""
    forgets = False  # what it writes is gone with its power
    counts = False  # its clock goes on by 8 ns with each instruction, and as the host's while it waits

    def boot_words(self, fabric):
        return f"root=/dev/vda rw systemd.show_status=0 {self.words}"

    def more_hardware(self):
        # Whoever restarts it gets a new QEMU: a reset inside one takes a minute under emulation.
        return ["-drive", f"file={self.path('disk')},format=raw,if=virtio,cache=unsafe{',snapshot=on' * self.forgets}", "-no-reboot"]

    def clock(self):
        return ["-accel", "tcg,thread=single", "-icount", "shift=3,sleep=on"] if self.counts else super().clock()

    def boot(self, kernel, initramfs="initramfs", words=""):
        """Power on. The moment of it, on the host's clock."""
        self.words = words
        began = time.monotonic()
        self.start(kernel.image, self.path(initramfs), "none", owned=True)
        return began

    def wait_ready(self):
        self.wait_for("the lab's shell answers", "true")

    def wait_for(self, what, command, patience_s=BOOT_S):
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if os.path.exists(self.path("control")) and self.pid() is not None:
                # What is said to a shell that is only just there may be lost: it is said again.
                try:
                    if self.run(command, max(1.0, min(ANSWER_S, until - time.monotonic())))[0] == 0:
                        return
                except (ConnectionError, MachineError):
                    pass
            time.sleep(0.2)
        raise MachineError(f"{self.node}: waited {patience_s} s in vain until {what}; QEMU: {self.text('output')[-500:]!r}; the "
                           f"end of its console: {self.console()[-2500:]}")

    def wait_multi_user(self):
        self.wait_for("multi-user.target is reached", "systemctl is-active --quiet multi-user.target")

    def reached_s(self, unit):
        """When systemd reached it, on the machine's clock."""
        shown = self.must(f"systemctl show --property=ActiveEnterTimestampMonotonic --value {unit}")
        return int(shown) / 1e6

    def service(self, unit, name):
        return self.must(f"systemctl show --property={name} --value {unit}").strip()

    def kernel_log(self):
        """(seconds, text) of each line, on the clock that the machine's systemd and ccmd use."""
        self.must("read up rest </proc/uptime; echo \"lab clock $up\" >/dev/kmsg")
        lines = [(float(when), text) for when, text in re.findall(r"^\[ *([0-9.]+)\] (.*)$", self.must("dmesg"), re.MULTILINE)]
        printed, told = [(when, text) for when, text in lines if text.startswith("lab clock")][-1]
        drift = float(told.split()[2]) - printed
        return [(when + drift, text) for when, text in lines]

    def wait_off(self, patience_s=120):
        until = time.monotonic() + patience_s
        while self.pid() is not None:
            if time.monotonic() > until:
                raise MachineError(f"{self.node} did not go down in {patience_s} s; the end of its console: {self.console()[-2500:]}")
            time.sleep(0.02)
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pass
        self.control = None


def installed(preset, folder):
    """hapair as its users get it, under `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    quietly("cmake", "--install", os.path.join(ROOT, "build", preset), "--prefix", "/usr", "--strip",
            env={**os.environ, "DESTDIR": folder})
    return folder


def make_root(machine, kernel, preset, configuration, key):
    """Debian's root with hapair, the pair's configuration and the lab's shell."""
    root = Root(machine.path("root"), kernel)
    shutil.copytree(installed(preset, machine.path("installed")), root.folder, dirs_exist_ok=True, symlinks=True)
    root.write("/etc/hapair/hapair.json", json.dumps(configuration), 0o600)
    root.write("/etc/hapair/pair.key", key, 0o600)
    for name, into in (("note", "/usr/lib/ocf/resource.d/heartbeat/note"), ("fence_lab", "/usr/bin/fence_lab")):
        with open(os.path.join(HERE, "guest", name), "rb") as file:
            root.write(into, file.read(), 0o755)
    root.write("/etc/fstab", "/dev/vda / ext4 defaults 0 1\n")
    root.write("/etc/hostname", f"{machine.node}\n")
    # See tests/vm/init.
    root.write("/etc/modprobe.d/lab.conf", "options virtio_net napi_tx=0\n")
    root.write("/etc/systemd/system/lab-shell.service", SHELL)
    root.write("/etc/tmpfiles.d/lab.conf", "f /tmp/partner-power 0644 - - - on\n")
    root.write("/etc/initramfs-tools/modules", "\n".join(DISK_MODULES) + "\n")
    root.write("/etc/initramfs-tools/conf.d/lab", "MODULES=list\nCOMPRESS=zstd\n")
    root.install_modules(*DISK_MODULES, *SYSTEM_MODULES)
    root.run("systemctl", "enable", "lab-shell", *UNITS)
    root.run("systemctl", "set-default", "multi-user.target")
    root.run("ldconfig")
    # They would fetch packages, at an hour that they choose.
    root.run("systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer")
    return root


def make_initramfs(root, into, how):
    """By Debian's own tool (`how`: of INITRAMFS). What that said."""
    version = root.kernel.version
    if how == "initramfs-tools":
        said = root.run("mkinitramfs", "-o", "/tmp/initramfs", version)
    else:
        said = root.run("dracut", "--force", "--quiet", "--no-hostonly", "--zstd", "--no-early-microcode", "--kver", version,
                        *INITRAMFS[how], "--drivers", " ".join(DISK_MODULES), "/tmp/initramfs", version)
    if (mode := os.stat(root.path("/tmp/initramfs")).st_mode & 0o077) != 0:
        raise MachineError(f"{how} made an initramfs with the pair's key that others may read (mode {mode:o})")
    shutil.move(root.path("/tmp/initramfs"), into)
    return said


def holds(archive):
    """Names in an initramfs."""
    return subprocess.run(["sh", "-c", f"zstd -dcq '{archive}' | cpio -t --quiet"], check=True, capture_output=True,
                          text=True).stdout.split()
