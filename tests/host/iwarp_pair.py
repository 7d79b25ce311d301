"""Two nodes in network namespaces, joined by two rails of iWARP and, where wanted, IP networks for beats, each a cable of its own that
can be cut, delayed and made lossy: real ccmds and agents, the kernel's TCP and UDP. Everything ends with this process, however it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PATIENCE_S = 30
HERE = os.path.dirname(os.path.abspath(__file__))
NODES = ("alpha", "beta")
RAILS = ("one", "two")
AGENTS_RUN = "/run/resource-agents"


def dying_with_us(*command):
    return ["setpriv", "--pdeathsig", "KILL", *command]


SKIPPED = 77  # what ctest is told by SKIP_RETURN_CODE


def run_tests(use_build):
    """The unittest cases of the main program; its first argument, the build folder, goes to `use_build`. Its exit status."""
    if os.geteuid() != 0:
        print("skipped: not root: network namespaces cannot be made")
        return SKIPPED
    # An interrupted test cleans up like one that failed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    use_build(sys.argv.pop(1))
    return 0 if unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]], exit=False).result.wasSuccessful() else 1


def memory_folder():
    """Where files wait for no disk, which others keep busy: in memory, where the kernel lets that be read and written directly
    (tmpfs since Linux 6.6). None: where temporary files are."""
    try:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            os.close(os.open(file.name, os.O_RDWR | os.O_DIRECT))
            return "/dev/shm"
    except OSError:
        return None


class Rail:
    def __init__(self, number, name, pair):
        self.number = number
        self.name = name
        ports = []
        for i, node in enumerate(NODES):
            port = f"{name}-{node[0]}"
            pair.ip("hub", "link", "add", port, "type", "veth", "peer", "name", name, "netns", str(pair.holders[node].pid))
            pair.ip("hub", "link", "set", port, "up", "promisc", "on")
            pair.ip(node, "addr", "add", f"10.88.{number}.{i + 1}/24", "dev", name)
            pair.ip(node, "link", "set", name, "up")
            ports.append(port)
        self.wire = subprocess.Popen(
            dying_with_us(*pair.within("hub"), "/usr/bin/python3", "-B", os.path.join(HERE, "wire.py"), *ports),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wire.stdout.readline()

    def tell(self, *words):
        """"there" is from alpha to beta."""
        self.wire.stdin.write(" ".join(words) + "\n")
        self.wire.stdin.flush()
        if self.wire.stdout.readline().strip() != "ok":
            raise RuntimeError(f"the cable of rail {self.name} did not obey: {words}")


class Pair:
    def __init__(self, build, rails=RAILS, near=False, patience_ms=None, networks=(), disks=(), more=None):
        """`near`: a rail of fabric shm beside those of iWARP, the last. `patience_ms`: how long the CCMs wait for each other's
        answers; where it is none, their own default. `networks`: names of IP networks for beats; `disks`: of mailbox disks, which are files
        that nobody has prepared; `more`: what the configuration of each has besides."""
        self.more = more or {}
        self.patience_ms = patience_ms
        self.disks = disks
        self.build = os.path.abspath(build)
        self.near = near
        self.folder = tempfile.mkdtemp(prefix="hapair-iwarp-", dir=memory_folder())
        self.holders = {}
        self.running = {}
        for place in (*NODES, "hub"):
            self.holders[place] = subprocess.Popen(
                dying_with_us("unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity"))
        own = os.readlink("/proc/self/ns/net")
        for place, holder in self.holders.items():
            self.wait_until(lambda h=holder: os.readlink(f"/proc/{h.pid}/ns/net") != own, f"the namespace of {place}")
            self.ip(place, "link", "set", "lo", "up")
        # Where resource agents keep what they run: each node's is its own.
        os.makedirs(AGENTS_RUN, exist_ok=True)
        for node in NODES:
            subprocess.run([*self.within(node), "mount", "-t", "tmpfs", "agents", AGENTS_RUN], check=True)
        cables = [Rail(number, name, self) for number, name in enumerate((*rails, *networks))]
        self.rails = {cable.name: cable for cable in cables[:len(rails)]}
        self.networks = {cable.name: cable for cable in cables[len(rails):]}
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        for node in NODES:
            self.configure(node, key)

    def configure(self, node, key):
        own, other = (1, 2) if node == "alpha" else (2, 1)
        with open("/proc/sys/kernel/random/uuid", encoding="ascii") as drawn, \
                open(self.path(f"{node}.boot-id"), "w", encoding="ascii") as file:
            file.write(drawn.read())
        os.makedirs(self.path(f"run-{node}"))
        patient = {"retry_timeout_ms": self.patience_ms} if self.patience_ms else {}
        ccm = {"operation_deadline_ms": self.patience_ms} if self.patience_ms else {}
        # Wide: what a busy machine does to a process is not what is tested.
        heartbeat = {"floor_ms": 100, "agent_floor_ms": 200, "ceiling_ms": 2 * (self.patience_ms or 500)}
        with open(self.path(f"{node}.json"), "w", encoding="utf-8") as file:
            json.dump({
                "pair": "iwarp", "node": node, "partner": "beta" if node == "alpha" else "alpha", "key_file": key,
                "run_dir": self.path(f"run-{node}"), "state_dir": self.path(f"state-{node}"),
                "boot_id_file": self.path(f"{node}.boot-id"),
                "ccm": {"rails": [{"name": rail.name, "fabric": "iwarp", "address": f"10.88.{rail.number}.{own}",
                                   "partner_address": f"10.88.{rail.number}.{other}", **patient}
                                  for rail in self.rails.values()] +
                        [{"name": "near", "fabric": "shm", "dir": self.path("shm")}] * self.near,
                        "networks": [{"name": network.name, "address": f"10.88.{network.number}.{own}",
                                      "partner_address": f"10.88.{network.number}.{other}"} for network in self.networks.values()],
                        "mailbox_disks": [{"name": name, "device": self.disk(name)} for name in self.disks],
                        **ccm},
                "takeover": {"automatic": False}, "heartbeat": heartbeat,
                "pools": [{"name": "pool-a", "home": "alpha",
                           "resources": [{"name": "dummy", "type": "ocf:heartbeat:Dummy"}]}],
                **self.more,
            }, file)

    def disk(self, name):
        return self.path(f"{name}.disk")

    def path(self, name):
        return os.path.join(self.folder, name)

    def within(self, place):
        return ["nsenter", "--target", str(self.holders[place].pid), "--net", "--mount"]

    def ip(self, place, *words):
        subprocess.run([*self.within(place), "ip", *words], check=True)

    @staticmethod
    def wait_until(condition, what, patience_s=PATIENCE_S):
        until = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"waited {patience_s} s in vain until {what}")
            time.sleep(0.01)

    def start(self, node, program):
        where = {"ccmd": "ccm/daemon/ccmd", "hapaird": "agent/daemon/hapaird"}[program]
        log = open(self.path(f"{node}-{program}.log"), "ab")
        self.running[node, program] = subprocess.Popen(
            dying_with_us(*self.within(node), f"{self.build}/{where}", "--config", self.path(f"{node}.json")),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()

    def start_all(self):
        for node in NODES:
            self.start(node, "ccmd")
            socket = self.path(f"run-{node}/ccm.sock")
            self.wait_until(lambda s=socket: os.path.exists(s), f"ccmd of {node} serves its clients")
            self.start(node, "hapaird")

    def mirror(self, node, *arguments, name=None):
        """A process of `mirror` in the node; its words go to a log of its own."""
        name = name or arguments[0]
        with open(self.path(f"{node}-{name}.log"), "ab") as log:
            process = subprocess.Popen(
                dying_with_us(*self.within(node), f"{self.build}/ccm/client/examples/mirror", "--json", *arguments, "--socket",
                              self.path(f"run-{node}/ccm.sock")),
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True)
        self.running[node, name] = process
        return process

    def ports_of(self, node):
        answer = self.hapair(node, "rails", "--json")
        return json.loads(answer.stdout)["ports"] if answer.returncode == 0 else []

    def signal(self, node, program, number):
        process = self.running[node, program]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()

    def hapair(self, node, *arguments):
        return subprocess.run([f"{self.build}/agent/cli/hapair", "--config", self.path(f"{node}.json"), *arguments],
                              capture_output=True, text=True, check=False, timeout=60)

    def rails_of(self, node):
        answer = self.hapair(node, "rails", "--json")
        if answer.returncode != 0:
            return {}
        return {rail["name"]: rail for rail in json.loads(answer.stdout)["rails"]}

    def networks_of(self, node):
        answer = self.hapair(node, "rails", "--json")
        if answer.returncode != 0:
            return {}
        return {network["name"]: network for network in json.loads(answer.stdout)["networks"]}

    def connected(self, node):
        return {name for name, rail in self.rails_of(node).items() if rail["handshake"] == "connected"}

    def verdict(self, node):
        answer = self.hapair(node, "status", "--json")
        return json.loads(answer.stdout)["partner_status"]["verdict"] if answer.returncode == 0 else "no answer"

    def told(self, node, kind):
        """The text of every record of that kind on the node so far, oldest first."""
        lines = self.hapair(node, "events", "--last", "10000", "--json").stdout.splitlines()
        return [record["text"] for record in map(json.loads, lines) if record.get("kind") == kind]

    def verdicts(self, node):
        return self.told(node, "verdict")

    def wait_connected(self, *rails):
        self.wait_until(lambda: all(self.connected(node) == set(rails) for node in NODES), f"{rails} are connected")

    def wait_verdict(self, node, verdict):
        self.wait_until(lambda: self.verdict(node) == verdict, f"{node} sees its partner {verdict}")

    def end(self):
        cables = [*self.rails.values(), *self.networks.values()]
        processes = [*self.running.values(), *(cable.wire for cable in cables), *self.holders.values()]
        for process in processes:
            process.kill()
            process.wait()
        for cable in cables:
            cable.wire.stdin.close()
            cable.wire.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
