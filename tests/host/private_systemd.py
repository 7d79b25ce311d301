"""A real systemd for one test, as PID 1 of its own namespaces: own /run, own /var/lib, own units, and a control group of
its own, so that it sees and moves nobody else's processes. It ends with the test, also when that is killed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

PATIENCE_S = 30
CGROUPS = "/sys/fs/cgroup"

# What a service of the system depends on by default; empty here.
TARGETS = ("sysinit", "basic", "shutdown", "local-fs", "network-online", "time-sync")

# cgroup2 alone: the older hierarchies are not this systemd's to arrange.
BOOT = r"""
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
exec env -i container=hapair-test "PATH=$PATH" "SYSTEMD_UNIT_PATH=$1/units" \
  SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=1 /lib/systemd/systemd --system --unit=test.target \
  --log-target=console --show-status=no
"""


def why_skipped():
    """What of the kernel or of this process's rights is missing; empty where nothing is."""
    if os.geteuid() != 0:
        return "not root: namespaces and control groups cannot be made"
    with open("/proc/filesystems", encoding="ascii") as listed:
        if "cgroup2" not in listed.read().split():
            return "the kernel has no cgroup2"
    return ""


def hierarchies():
    """The folders where control groups of each mounted hierarchy begin."""
    found = []
    with open("/proc/mounts", encoding="ascii") as mounts:
        for line in mounts:
            _, place, kind, options = line.split()[:4]
            if kind == "cgroup2" or (kind == "cgroup" and "cpuset" not in options.split(",")):
                found.append(place)
    return found


class PrivateSystemd:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hapair-systemd-")
        os.chmod(self.folder, 0o755)
        self.group = os.path.basename(self.folder)
        self.units = os.path.join(self.folder, "units")
        os.mkdir(self.units)
        for name in TARGETS + ("test",):
            self.unit(f"{name}.target", f"[Unit]\nDescription={name} of a test\nDefaultDependencies=no\n")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.boot = None
        self.leader = 0

    def unit(self, name, text):
        with open(os.path.join(self.units, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        # Its own group in every hierarchy: the namespace's root is where a process is when it enters.
        for place in hierarchies():
            os.makedirs(os.path.join(place, self.group), exist_ok=True)

        def enter():
            for place in hierarchies():
                with open(os.path.join(place, self.group, "cgroup.procs"), "w", encoding="ascii") as procs:
                    procs.write("0")
        self.boot = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--cgroup", "--mount", "--pid", "--net", "--uts", "--ipc",
             "--fork", "--kill-child", "--mount-proc", "bash", "-euc", BOOT, "boot", self.folder],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=enter)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.boot.poll() is None:
            self.leader = self.leader or self.child_of(self.boot.pid)
            if self.leader and self.systemctl("is-system-running").stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.05)
        with open(self.log.name, encoding="utf-8", errors="replace") as said:
            raise RuntimeError(f"systemd did not come up: {said.read()[-2000:]}")

    @staticmethod
    def child_of(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return int((children.read().split() or ["0"])[0])

    def run(self, *command):
        return subprocess.run(["nsenter", "--target", str(self.leader), "--mount", "--pid", "--net", "--uts", "--ipc",
                               "--cgroup", *command], capture_output=True, text=True, check=False, timeout=120)

    def systemctl(self, *arguments):
        return self.run("systemctl", *arguments)

    def show(self, unit, what):
        return self.systemctl("show", "--value", "--property", what, unit).stdout.strip()

    def stop(self):
        if self.boot is not None:
            if self.leader:
                try:
                    os.kill(self.leader, signal.SIGKILL)  # PID 1 of the namespace: all of it ends with it
                except ProcessLookupError:
                    pass
            self.boot.kill()
            self.boot.wait()
        self.log.close()
        for place in hierarchies():
            top = os.path.join(place, self.group)
            until = time.monotonic() + PATIENCE_S
            while os.path.exists(top) and time.monotonic() < until:
                for folder, _, _ in os.walk(top, topdown=False):
                    try:
                        os.rmdir(folder)
                    except OSError:
                        time.sleep(0.02)  # its last process is still going
        shutil.rmtree(self.folder, ignore_errors=True)
