"""Eight nodes in namespaces of their own (network, mounts, processes, IPC, host name) on one bridge: four pairs of real ccmds and hapairds,
each pair over a rail in shared memory, and a real Corosync on each node, all in one cluster. Everything ends with this process, however it
ends: a node's first process dies with it, and with that all that runs in the node."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PAIRS = 4
NODES = [(f"pair-{pair}", f"{side}{pair}") for pair in range(1, PAIRS + 1) for side in ("a", "b")]
PREFIX = "hapair-fleet-"
MEMORY = "/dev/shm"
SCRATCH = "/mnt"  # where a node's first process has the folder while it covers /dev/shm
FIRST_PROCESS = """set -e
mount --bind "$FOLDER" {scratch}
mount -t tmpfs -o mode=1777 shm {memory}
mount -t tmpfs -o mode=755 run /run
mkdir -p "$FOLDER" /run/resource-agents /run/lock
mount --bind {scratch} "$FOLDER"
umount {scratch}
hostname "$NODE"
ip link set lo up
: > "$FOLDER/$NODE.up"
exec sleep infinity
""".format(scratch=SCRATCH, memory=MEMORY)
COROSYNC = """totem {{
  version: 2
  cluster_name: fleet
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: 5000
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
}}
system {{
  move_to_root_cgroup: no
  state_dir: {state}
}}
logging {{
  to_stderr: yes
  to_syslog: no
  timestamp: hires
}}
"""


class Missing(Exception):
    """A feature of the kernel that this machine lacks."""


def dying_with_us(*command):
    return ["setpriv", "--pdeathsig", "KILL", *command]


def sweep():
    """What runs left that were killed: files in memory, nothing else."""
    for name in os.listdir(MEMORY):
        owner = name.removeprefix(PREFIX).split("-")[0]
        if name.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            shutil.rmtree(os.path.join(MEMORY, name), ignore_errors=True)


class Node:
    def __init__(self, world, number, pair, name):
        self.world = world
        self.number = number
        self.pair = pair
        self.name = name
        self.partner = ("b" if name[0] == "a" else "a") + name[1:]
        self.holder = None   # unshare, whose child is the node's first process
        self.running = {}    # program: nsenter, whose child it is

    def path(self, name):
        return os.path.join(self.world.folder, self.name, name)

    @property
    def config(self):
        return self.path("hapair.json")

    def prepare(self):
        for folder in ("state", "corosync"):
            os.makedirs(self.path(folder))
        home = f"a{self.name[1:]}"
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({
                "pair": self.pair, "node": self.name, "partner": self.partner, "key_file": os.path.join(self.world.folder, "key"),
                "run_dir": "/run/hapair", "state_dir": self.path("state"), "boot_id_file": self.path("boot-id"),
                # Wide: what a busy machine does to a process is not what is tested.
                "ccm": {"pace_ms": 50, "operation_deadline_ms": 2000,
                        "rails": [{"name": "near", "fabric": "shm", "dir": os.path.join(self.world.folder, f"rail-{self.pair}")}]},
                "heartbeat": {"floor_ms": 1000, "agent_floor_ms": 2000, "ceiling_ms": 8000},
                "takeover": {"automatic": False}, "giveback": {"automatic": False},
                "corosync": {"fleet": True},
                "pools": [{"name": "tank", "home": home, "resources": [
                    {"name": "dummy", "type": "ocf:heartbeat:Dummy", "start_timeout_ms": 120000, "stop_timeout_ms": 120000,
                     "monitor_timeout_ms": 60000, "monitor_interval_ms": 60000}]}],
            }, file, indent=2)
        members = "".join(f"  node {{\n    ring0_addr: {self.world.address(number)}\n    name: {name}\n    nodeid: {number}\n  }}\n"
                          for number, (_, name) in enumerate(NODES, 1))
        with open(self.path("corosync.conf"), "w", encoding="utf-8") as file:
            file.write(COROSYNC.format(nodes=members, state=self.path("corosync")))

    # --- power ---

    def power_on(self):
        up = os.path.join(self.world.folder, f"{self.name}.up")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(up)
        with open("/proc/sys/kernel/random/uuid", encoding="ascii") as drawn, open(self.path("boot-id"), "w", encoding="ascii") as file:
            file.write(drawn.read())
        with open(self.path("console.log"), "ab") as console:
            self.holder = subprocess.Popen(
                dying_with_us("unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
                              "--propagation", "private", "sh", "-c", FIRST_PROCESS),
                env={**os.environ, "FOLDER": self.world.folder, "NODE": self.name}, stdin=subprocess.DEVNULL, stdout=console,
                stderr=console)
        self.world.wait(f"{self.name} boots", lambda: os.path.exists(up) or self.holder.poll() is not None)
        if self.holder.poll() is not None:
            raise RuntimeError(f"{self.name} did not boot: {self.path('console.log')}")
        self.world.plug_in(self)
        for program in ("corosync", "ccmd"):
            self.start(program)
        self.serves("ccmd", "ccm.sock")
        self.start("hapaird")
        self.serves("hapaird", "hapair.sock")

    def serves(self, program, socket):
        process = self.running[program]
        self.world.wait(f"{program} of {self.name} serves its clients",
                        lambda: process.poll() is not None or self.run("test", "-S", f"/run/hapair/{socket}").returncode == 0)
        if process.poll() is not None:
            with open(self.path(f"{program}.log"), encoding="utf-8", errors="replace") as log:
                raise RuntimeError(f"{program} of {self.name} ended: {log.read()}")

    def first_process(self):
        return self.world.child_of(self.holder.pid)

    def power_off(self):
        """Its first process is killed, and so the kernel kills all others of the node."""
        os.kill(self.first_process(), 9)
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
        self.holder.wait()
        for process in self.running.values():
            process.wait()
        self.running = {}

    # --- programs ---

    def within(self):
        return ["nsenter", "--target", str(self.first_process()), "--net", "--mount", "--pid", "--ipc", "--uts", "--"]

    def start(self, program):
        command = {"corosync": ["corosync", "-f", "-c", self.path("corosync.conf")],
                   "ccmd": [f"{self.world.build}/ccm/daemon/ccmd", "--config", self.config],
                   "hapaird": [f"{self.world.build}/agent/daemon/hapaird", "--config", self.config]}[program]
        with open(self.path(f"{program}.log"), "ab") as log:
            self.running[program] = subprocess.Popen(dying_with_us(*self.within(), *command), stdin=subprocess.DEVNULL, stdout=log,
                                                     stderr=log)

    def signal(self, program, number):
        """nsenter stops with what it has started, and has to go on with it: nobody else would reap that."""
        os.kill(self.world.child_of(self.running[program].pid), number)
        if number == signal.SIGCONT:
            self.running[program].send_signal(number)

    def kill(self, program):
        self.signal(program, 9)
        self.running.pop(program).wait()

    def run(self, *command, timeout=120):
        return subprocess.run([*self.within(), *command], capture_output=True, text=True, check=False, timeout=timeout)

    def hapair(self, *words):
        return self.run(f"{self.world.build}/agent/cli/hapair", "--config", self.config, *words)

    def answer(self, *words):
        """As JSON; None where it is no answer."""
        done = self.hapair(*words, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def key(self, name):
        """Of Corosync's map, as corosync-cmapctl prints it."""
        return self.run("corosync-cmapctl", name).stdout.strip()


class FleetWorld:
    def __init__(self, build, patience_s=300):
        self.build = os.path.abspath(build)
        self.patience_s = patience_s
        self.folder = None
        self.hub = None
        self.nodes = {}

    @staticmethod
    def address(number):
        return f"10.87.0.{number}"

    @staticmethod
    def child_of(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if len(children) != 1:
            raise RuntimeError(f"process {pid} has the children {children}")
        return int(children[0])

    def wait(self, what, condition):
        until = time.monotonic() + self.patience_s
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"waited {self.patience_s} s in vain until {what}")
            time.sleep(0.2)

    def build_up(self):
        sweep()
        self.folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY)
        with open(os.open(os.path.join(self.folder, "key"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        self._check_kernel()
        self.hub = subprocess.Popen(dying_with_us("unshare", "--net", "sleep", "infinity"))
        own = os.readlink("/proc/self/ns/net")
        self.wait("there is a place for the bridge", lambda: os.readlink(f"/proc/{self.hub.pid}/ns/net") != own)
        self.in_hub("ip", "link", "add", "bridge", "type", "bridge")
        self.in_hub("ip", "link", "set", "bridge", "up")
        for number, (pair, name) in enumerate(NODES, 1):
            node = Node(self, number, pair, name)
            self.nodes[name] = node
            os.makedirs(os.path.join(self.folder, name))
            os.makedirs(os.path.join(self.folder, f"rail-{pair}"), exist_ok=True)
            node.prepare()

    @staticmethod
    def _check_kernel():
        for feature, command in (("namespaces", ["true"]), ("veth", ["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]),
                                 ("bridges", ["ip", "link", "add", "bridge", "type", "bridge"])):
            done = subprocess.run(["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", *command], capture_output=True,
                                  text=True, check=False)
            if done.returncode != 0:
                raise Missing(f"this kernel has no {feature}: {done.stderr.strip()}")

    def in_hub(self, *command):
        subprocess.run(["nsenter", "--target", str(self.hub.pid), "--net", *command], check=True)

    def plug_in(self, node):
        """A port whose other end is in a node goes with it."""
        port = f"port-{node.name}"
        subprocess.run(["nsenter", "--target", str(self.hub.pid), "--net", "ip", "link", "del", port], stderr=subprocess.DEVNULL,
                       check=False)
        self.in_hub("ip", "link", "add", port, "type", "veth", "peer", "name", "net", "netns", str(node.first_process()))
        self.in_hub("ip", "link", "set", port, "master", "bridge", "up")
        for words in (("addr", "add", f"{self.address(node.number)}/24", "dev", "net"), ("link", "set", "net", "up")):
            done = node.run("ip", *words)
            if done.returncode != 0:
                raise RuntimeError(f"{node.name}: ip {' '.join(words)}: {done.stderr}")

    def end(self, keep_logs):
        for node in self.nodes.values():
            if node.holder is not None and node.holder.poll() is None:
                node.power_off()
        if self.hub is not None:
            self.hub.kill()
            self.hub.wait()
        if self.folder is None:
            return
        if keep_logs:
            for node in self.nodes.values():
                for program in ("corosync", "hapaird"):
                    with contextlib.suppress(OSError), open(node.path(f"{program}.log"), encoding="utf-8", errors="replace") as file:
                        print(f"--- {program} of {node.name}, the end\n{''.join(file.readlines()[-8:])}", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
