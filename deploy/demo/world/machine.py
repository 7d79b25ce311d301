"""One node: its power, its cables, and the honest ways in which it can fail."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time

from . import disks, processes
from .command import ENVIRONMENT
from .layout import POOLS, WorldError, now_ns
from .shape import Shape

# What a node's own /etc needs of this machine's; the rest is hapair's.
ETC_NEEDED = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "nsswitch.conf", "protocols",
              "services", "mke2fs.conf", "tgt", "localtime", "bash.bashrc", "profile", "debian_version", "os-release")
VAR_FOLDERS = ("lib/hapair", "lib/heartbeat", "lib/xfsdump", "log", "tmp", "cache", "spool")
WANTS_REBOOT = 3  # exit status of a node's PID 1, see deploy/demo/init/machine.h
PROOF_PATIENCE_S = 10
PORT_LINK_UP_OFFSET = 8


def enter_command(pid, argv, variables=None):
    """The command line that runs `argv` in the node whose PID 1 is `pid`. The outer process never enters the mount
    namespace: one that waits there would keep a dead node's disks busy."""
    environment = {**ENVIRONMENT, **(variables or {})}
    return ["nsenter", f"--target={pid}", "--pid", "--net", "--uts", "--ipc", "--",
            "nsenter", f"--mount=/proc/{pid}/ns/mnt", "--",
            "env", "-i", *(f"{key}={value}" for key, value in environment.items()), *argv]


class Step:
    """What a power-off did, step by step, for the timeline."""

    def __init__(self, text):
        self.text = text
        self.when_ns = now_ns()


class Machine:
    """All methods that change the power are serialised by the power controller's lock."""

    def __init__(self, layout, network, node, cluster=True, shape=Shape()):
        self.layout = layout
        self.shape = shape
        self.network = network
        self.node = node
        self.cluster = cluster
        self.lock = threading.RLock()
        self.supply = None      # the process that holds the node's power
        self.pid = None         # the node's PID 1, as this machine counts
        self.devices = {}       # name of a pool or of another shared disk: this node's loop device
        self.pid_namespace = None
        self.mount_namespace = None
        self.last_steps = []
        self.off_since_ns = None

    # --- building ---

    def prepare(self):
        """The node's disk: what outlives its power cycles."""
        for folder in ("root", "etc/hapair", "var"):
            os.makedirs(self.layout.node(self.node, folder), exist_ok=True)
        for name in ETC_NEEDED:
            source, target = f"/etc/{name}", self.layout.node(self.node, "etc", name)
            if os.path.isdir(source):
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            elif os.path.exists(source):
                shutil.copy2(source, target)
        with open(self.layout.node(self.node, "etc/hostname"), "w", encoding="utf-8") as file:
            file.write(self.node + "\n")
        for folder in VAR_FOLDERS:
            os.makedirs(self.layout.node(self.node, "var", folder), exist_ok=True)
        for name, target in (("run", "/run"), ("lock", "/run/lock")):
            with contextlib.suppress(FileExistsError):
                os.symlink(target, self.layout.node(self.node, "var", name))

    # --- power ---

    @property
    def is_on(self):
        return self.supply is not None and self.supply.poll() is None

    def power_on(self):
        """Plugs the cables in and starts PID 1. Returns at once; `wait_for` tells how far the boot is."""
        with self.lock:
            if self.is_on:
                return
            self.network.plug_in(self.node)
            images = {pool.name: self.layout.image(pool) for pool in POOLS}
            images |= {name: self.layout.more_image(name) for name in self.shape.more_disks}
            self.devices = {name: disks.attach(image) for name, image in images.items()}
            spec = {
                "node": self.node,
                "netns": self.layout.netns_path(self.node),
                "root": self.layout.node(self.node, "root"),
                "etc": self.layout.node(self.node, "etc"),
                "var": self.layout.node(self.node, "var"),
                "programs": self.layout.programs,
                "shm": self.layout.shm,
                "power_socket": self.layout.power_socket,
                "status": self.layout.node(self.node, "status"),
                "disks": self.devices,
                "cluster": self.cluster,
                "watchdog": self.shape.watchdog,
            }
            spec_file = self.layout.node(self.node, "spec.json")
            with open(spec_file, "w", encoding="utf-8") as file:
                json.dump(spec, file, indent=2)
            open(self.layout.node(self.node, "status"), "w", encoding="utf-8").close()
            with open(self.layout.node(self.node, "console.log"), "ab") as console:
                self.supply = subprocess.Popen([f"{self.layout.programs}/hapair-demo-init", spec_file],
                                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=console,
                                               env=ENVIRONMENT, start_new_session=True)
            word = self.supply.stdout.readline().split()
            if len(word) != 2 or word[0] != b"PID":
                raise WorldError(f"node {self.node} could not be powered on; its console says why: "
                                 f"{self.layout.node(self.node, 'console.log')}")
            self.pid = int(word[1])
            self.pid_namespace = processes.namespace(self.pid, "pid")
            self._write_power_file()
            self.off_since_ns = None
        self._learn_mount_namespace()

    def _write_power_file(self):
        content = {"pid": self.pid, "netns": self.layout.netns_path(self.node), "disks": self.devices}
        temporary = self.layout.power_file(self.node) + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.rename(temporary, self.layout.power_file(self.node))

    def _learn_mount_namespace(self):
        """PID 1 makes its own shortly after it starts; the word "kernel" comes after that."""
        if self.wait_for("kernel", 10):
            self.mount_namespace = processes.namespace(self.pid, "mnt")
        else:
            raise WorldError(f"node {self.node} did not boot; its console says why: "
                             f"{self.layout.node(self.node, 'console.log')}")

    def boot_words(self):
        try:
            with open(self.layout.node(self.node, "status"), encoding="utf-8") as file:
                return {line.split()[1]: int(line.split()[0]) for line in file if line.endswith("\n")}
        except FileNotFoundError:
            return {}

    def wait_for(self, word, patience_s):
        """True once the boot has reached `word`; False where it did not in time or the node went off."""
        until = time.monotonic() + patience_s
        while word not in self.boot_words():
            if time.monotonic() > until or not self.is_on:
                return word in self.boot_words()
            time.sleep(0.005)
        return True

    def shut_down(self, reboot=False):
        """Asks PID 1 for an orderly end, as an operator's `poweroff` or `reboot` does; returns at once."""
        if self.is_on:
            processes.send(self.pid, signal.SIGINT if reboot else signal.SIGTERM)

    def finish_end(self):
        """After PID 1 ended by itself: puts the cables away. True where it wants to be powered on again."""
        with self.lock:
            status = self.supply.wait()
            self.last_steps = []
            self._clear_away()
            self.off_since_ns = now_ns()
        return status == WANTS_REBOOT

    def pull_the_plug(self):
        """For the end of the world: no honesty about the disks, only quick."""
        with self.lock:
            if self.supply is not None:
                self.supply.kill()
                self.supply.wait()
                self._close_streams()

    def _close_streams(self):
        for stream in (self.supply.stdin, self.supply.stdout):
            stream.close()

    # --- faults ---

    def cut(self):
        """Both cables, as seen from the other node: the interconnect's port and the switch's port."""
        if self.cluster:
            self._set_interconnect(up=False)
        self.network.cut(self.node)

    def restore_links(self):
        if self.cluster:
            self._set_interconnect(up=True)
        self.network.restore(self.node)

    def _set_interconnect(self, up):
        """As `hapair-shm-port up|down` does it, without the time that starting a program takes: the fault begins at the
        write. ccm/fabric/shm/port_file.h has the layout."""
        fd = os.open(self.layout.port_file(self.node), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, int(up).to_bytes(4, "little"), PORT_LINK_UP_OFFSET)
        finally:
            os.close(fd)

    def cut_power(self):
        """Takes the power away as a power failure does, and returns once it is proven that nothing of the node is
        left. A second call finds the node off and proves the same again. Returns the time at which the cut began."""
        with self.lock:
            if not self.is_on:
                self._clear_away()
                self.prove_off()
                return self.off_since_ns
            self.last_steps = []
            began_ns = now_ns()
            self.cut()
            self._step("links cut")
            for pool in POOLS:
                # Opened and closed at once: a descriptor held here would keep the superblock of a dead node.
                mountpoint = f"/proc/{self.pid}/root{pool.directory}"
                if os.path.exists(disks.superblock(pool, self.devices[pool.name])) and os.path.ismount(mountpoint):
                    disks.shut_down_file_system(mountpoint)
            self._step("file systems shut down without a flush")
            processes.send(self.pid, signal.SIGKILL)
            self.supply.wait(PROOF_PATIENCE_S)
            self._step("all processes dead")
            self._clear_away()
            self.prove_off()
            self._step("power off proven")
            self.off_since_ns = began_ns
            return began_ns

    def freeze(self, but_pid_1=False):
        """Stops every process of the node, or all but its PID 1. Its kernel (this machine's) goes on answering for it.
        Returns when the first one was stopped."""
        began_ns = now_ns()
        if not but_pid_1:
            processes.send(self.pid, signal.SIGSTOP)  # PID 1 first: it would start again what stands still
        for _ in range(100):
            moving = [pid for pid in self.pids() if processes.state(pid) not in ("T", "t", "Z", "X", None) and
                      not (but_pid_1 and pid == self.pid)]
            if not moving:
                return began_ns
            for pid in moving:
                processes.send(pid, signal.SIGSTOP)
            time.sleep(0.001)
        raise WorldError(f"node {self.node} could not be frozen")

    def signal_program(self, program, number):
        """Sends a signal to one of the node's programs; returns when."""
        pids = self.pids_of(program)
        if not pids:
            raise WorldError(f"{program} does not run on node {self.node}")
        began_ns = now_ns()
        for pid in pids:
            processes.send(pid, number)
        return began_ns

    # --- looking ---

    def pids(self):
        return processes.in_namespace(self.pid_namespace, "pid")

    def pids_of(self, program):
        return [pid for pid in self.pids() if processes.program_of(pid) == program]

    def execute(self, *argv, timeout=60):
        """Runs a command in the node to its end."""
        if not self.is_on:
            raise WorldError(f"node {self.node} is off")
        try:
            return subprocess.run(enter_command(self.pid, argv), capture_output=True, text=True, env=ENVIRONMENT,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise WorldError(f"node {self.node}: {' '.join(argv)}: did not end within {timeout} s") from None

    # --- the end ---

    def _step(self, text):
        self.last_steps.append(Step(text))

    def _clear_away(self):
        """What a machine that lost its power no longer has. Waits until the kernel has let go of its disks."""
        if self.supply is not None:
            self._close_streams()
        until = time.monotonic() + PROOF_PATIENCE_S
        while self._busy_disks():
            # A process that entered the node's mount namespace from outside dies with the node.
            processes.kill_and_wait(processes.in_namespace(self.mount_namespace, "mnt"))
            if time.monotonic() > until:
                raise WorldError(f"node {self.node} is dead, but the kernel still uses {', '.join(self._busy_disks())}")
            time.sleep(0.002)
        if self.last_steps:
            self._step("superblocks gone")
        self.network.unplug(self.node)
        for device in self.devices.values():
            if (disks.backing_file(device) or "").startswith(self.layout.images + "/"):
                disks.detach(device)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.layout.power_file(self.node))
        self.supply = None

    def _busy_disks(self):
        busy = []
        for pool in POOLS:
            device = self.devices.get(pool.name)
            if device is None or not (disks.backing_file(device) or "").startswith(self.layout.images + "/"):
                continue
            if os.path.exists(disks.superblock(pool, device)) or disks.in_use(device):
                busy.append(device)
        return busy

    def prove_off(self):
        """Raises unless everything that a powered-off machine cannot have is really gone."""
        left = []
        if self.pid_namespace is not None and self.pids():
            left.append("processes")
        left += [f"the loop device {device}" for device in self.devices.values()
                 if (disks.backing_file(device) or "").startswith(self.layout.images + "/")]
        if os.path.exists(self.layout.netns_path(self.node)):
            left.append("its network namespace")
        if self.network.is_plugged_in(self.node):
            left.append("its port at the switch")
        if left:
            raise WorldError(f"node {self.node} is not proven to be off; left are: {', '.join(left)}")
