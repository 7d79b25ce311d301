"""Puts everything together and takes it apart again."""

import fcntl
import os
import shutil
import stat
import sys
import time

from . import config, disks, processes
from .layout import NODES, POOLS, Layout, WorldError
from .machine import Machine
from .network import Network
from .observers import Client, Watcher
from .power import PowerController
from .shape import Shape
from .sweep import sweep

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Programs that the build makes; each is also the name of its target.
WORLD_PROGRAMS = ("hapair-demo-init", "hapair-demo-client", "hapair-demo-watcher")
CLUSTER_PROGRAMS = ("ccmd", "hapair-shm-port", "hapaird", "hapair", "hapair-node-init")
# An operator's words, on a machine without systemd.
REBOOT_COMMANDS = {"reboot": "INT", "poweroff": "TERM"}


def programs_below(folder, names):
    """Where each of the programs is in a build folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "CMakeFiles"]
        for name in set(files) & set(names):
            if os.access(f"{place}/{name}", os.X_OK):
                found[name] = f"{place}/{name}"
    return found


class Lock:
    """One world of a name at a time."""

    def __init__(self, layout):
        self.path = layout.lock
        self.fd = None

    def take(self, patience_s=20):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = os.pread(self.fd, 32, 0).decode(errors="replace").strip()
                # The caretaker of a run that was killed holds the lock while it clears away.
                if not owner.isdigit() or processes.state(int(owner)) not in (None, "Z", "X") or time.monotonic() > until:
                    raise WorldError(f"another demonstration runs (process {owner or 'not known'} holds {self.path}); "
                                     "end it with Ctrl-C in its terminal, then start this one again") from None
                time.sleep(0.1)
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"{os.getpid()}\n".encode(), 0)

    def release(self):
        os.close(self.fd)
        self.fd = None


class Caretaker:
    """A child that only waits: when this process is killed and cannot clear away, it does."""

    def __init__(self, layout):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(writing)
            self._wait_and_sweep(layout, reading)
        os.close(reading)
        self.writing = writing

    @staticmethod
    def _wait_and_sweep(layout, reading):
        status = 1
        try:
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            if os.read(reading, 1) == b"":
                sweep(layout)
            status = 0
        finally:
            os._exit(status)

    def dismiss(self):
        os.write(self.writing, b"x")
        os.close(self.writing)
        os.waitpid(self.pid, 0)


def check_machine():
    """What the demonstration needs of this machine, each in a sentence."""
    if os.geteuid() != 0:
        raise WorldError("the demonstration makes network namespaces, mounts and loop devices, which only root may: run "
                         f"sudo {sys.argv[0]}")
    try:
        if not stat.S_ISCHR(os.stat("/dev/loop-control").st_mode):
            raise FileNotFoundError
    except FileNotFoundError:
        raise WorldError("this machine has no loop devices (/dev/loop-control is missing): modprobe loop; a container "
                         "needs the devices passed through") from None
    with open("/proc/filesystems", encoding="utf-8") as file:
        known = file.read().split()
    missing = [pool.filesystem for pool in POOLS if pool.filesystem not in known]
    if missing:
        raise WorldError(f"this kernel has no {' and no '.join(missing)}: modprobe {' '.join(missing)}")
    free_mib = shutil.disk_usage("/var/tmp").free >> 20
    needed_mib = sum(pool.lun_mib for pool in POOLS) + 200
    if free_mib < needed_mib:
        raise WorldError(f"/var/tmp has {free_mib} MiB free; the demonstration needs {needed_mib} MiB there")


class World:
    def __init__(self, build_folder, name="demo", cluster=True, shape=Shape()):
        self.layout = Layout(name)
        self.shape = shape
        self.build_folder = build_folder
        self.cluster = cluster
        self.lock = Lock(self.layout)
        self.network = Network(self.layout, shape.rail)
        self.machines = {node: Machine(self.layout, self.network, node, cluster, shape) for node in NODES}
        self.power = PowerController(self.layout, self.machines, self._fenced)
        self.on_fenced = lambda node: None
        self.clients = {pool.name: Client(self.layout, pool) for pool in POOLS}
        self.watcher = Watcher(self.layout)
        self.caretaker = None
        self.claimed = False

    def _fenced(self, node):
        self.on_fenced(node)

    def claim(self):
        """Takes the lock and clears away what an earlier, killed run left; returns what that was."""
        self.lock.take()
        self.claimed = True
        found = sweep(self.layout)
        self.caretaker = Caretaker(self.layout)
        return found

    def build(self, giveback_stable_ms=2000):
        """Everything but power."""
        layout = self.layout
        for folder in (layout.base, layout.shm, layout.programs):
            os.makedirs(folder, mode=0o700)
        self._copy_programs()
        disks.make_images(layout)
        for name, size in self.shape.more_disks.items():
            disks.make_blank(layout.more_image(name), size)
        for machine in self.machines.values():
            machine.prepare()
        config.write_configs(layout, NODES, giveback_stable_ms, self.shape.configure)
        self.network.build()
        self.network.plug_in("client")
        self.power.start()

    def _copy_programs(self):
        wanted = WORLD_PROGRAMS + (CLUSTER_PROGRAMS if self.cluster else ())
        found = programs_below(self.build_folder, wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            raise WorldError(f"{self.build_folder} does not have {', '.join(missing)}: build it, or say another folder "
                             "with --build-dir")
        for path in found.values():
            shutil.copy2(path, self.layout.programs)
        shutil.copy2(f"{HERE}/fence_demo", self.layout.programs)
        for name, number in REBOOT_COMMANDS.items():
            path = f"{self.layout.programs}/{name}"
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nexec kill -{number} 1\n")
            os.chmod(path, 0o755)

    def destroy(self, keep=False):
        """Ends everything. With `keep` the files stay for a look; processes, mounts, devices and namespaces never do."""
        if not self.claimed:
            return None  # what is there belongs to another
        for client in self.clients.values():
            client.kill()
        self.watcher.kill()
        for machine in self.machines.values():
            machine.pull_the_plug()
        kept = f"{self.layout.base}.kept"
        if keep and os.path.isdir(self.layout.base):
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.layout.base, kept, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "*.img"))
        self.power.stop()
        sweep(self.layout)
        if self.caretaker is not None:
            self.caretaker.dismiss()
        self.lock.release()
        self.claimed = False
        return kept if keep else None
