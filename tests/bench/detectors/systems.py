"""What is compared: hapair, Corosync and keepalived, each on both nodes of one Lan at the same time. A system tells, on the clock
CLOCK_BOOTTIME, when its half on alpha took beta for down and when for up again."""

import json
import os
import re
import shutil
import subprocess
import threading
import time

from lan import ADDRESSES, NODES, PORT, dying_with_us


def now_s():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def descendants(pid):
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
        except FileNotFoundError:
            pass
    return found


def processor_s(pids):
    """Of all their threads."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total / 1e9


class System:
    """`name`: of a row. `changes`: (when, down) as alpha's half decided, oldest first."""

    def __init__(self, name, lan, folder):
        self.name = name
        self.lan = lan
        self.folder = os.path.join(folder, re.sub("[^a-z0-9]+", "-", name.lower()))
        os.makedirs(self.folder)
        self.processes = {node: [] for node in NODES}
        self.changes = []
        self.lock = threading.Lock()

    def path(self, name):
        return os.path.join(self.folder, name)

    def note(self, when, down):
        with self.lock:
            if not self.changes or self.changes[-1][1] != down:
                self.changes.append((when, down))

    def is_up(self):
        with self.lock:
            return bool(self.changes) and not self.changes[-1][1]

    def since(self, when):
        with self.lock:
            return [change for change in self.changes if change[0] >= when]

    def launch(self, node, log, *command, **more):
        with open(self.path(f"{node}-{log}.log"), "ab") as file:
            process = subprocess.Popen(dying_with_us(*self.lan.within(node), *command), stdin=subprocess.DEVNULL, stdout=file, stderr=file, **more)
        self.processes[node].append(process)

    def pids(self, node):
        return [pid for process in self.processes[node] if process.poll() is None for pid in descendants(process.pid)]

    def signal(self, node, number):
        for pid in self.pids(node):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def forget(self, node):
        """After its processes were killed."""
        for process in self.processes[node]:
            process.wait()
        self.processes[node] = []

    def can_be_hurt_by(self, _fault):
        return True

    def start(self, node):
        raise NotImplementedError

    def watch(self):
        """Once, after both nodes were started: `note` is called from then on."""
        raise NotImplementedError


def follow(path, found):
    """Each line that is written to the file from now on, until the process ends."""
    def read():
        with open(path, encoding="utf-8", errors="replace") as file:
            line = ""
            while True:
                line += file.readline()
                if line.endswith("\n"):
                    found(line)
                    line = ""
                else:
                    time.sleep(0.01)
    threading.Thread(target=read, daemon=True).start()


class Hapair(System):
    """One rail and one IP network for beats, both over the one switch; `near`: a rail of fabric shm alone, which no cut reaches."""

    DOWN = ("unreachable", "hung", "agent-hung", "ccm-gone", "panicked", "leaving")

    def __init__(self, name, lan, folder, build, pace_ms, floor_ms, number, near=False):
        super().__init__(name, lan, folder)
        self.build = build
        self.near = near
        key = self.path("key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        for node, partner in zip(NODES, reversed(NODES)):
            shutil.copy("/proc/sys/kernel/random/uuid", self.path(f"{node}.boot-id"))
            addresses = {"address": ADDRESSES[node], "partner_address": ADDRESSES[partner]}
            rail = {"name": "near", "fabric": "shm", "dir": self.path("shm")} if near else \
                {"name": "one", "fabric": "iwarp", "service_port": 7480 + 10 * number, **addresses}
            networks = [] if near else [{"name": "lan", "port": 7490 + 10 * number, **addresses}]
            with open(self.path(f"{node}.json"), "w", encoding="utf-8") as file:
                json.dump({"pair": "bench", "node": node, "partner": partner, "key_file": key, "run_dir": self.path(f"run-{node}"),
                           "state_dir": self.path(f"state-{node}"), "boot_id_file": self.path(f"{node}.boot-id"),
                           "ccm": {"rails": [rail], "networks": networks, "pace_ms": pace_ms},
                           "heartbeat": {"floor_ms": floor_ms}, "takeover": {"automatic": False},
                           "pools": [{"name": "pool", "home": "alpha", "resources": [{"name": "dummy", "type": "ocf:heartbeat:Dummy"}]}]}, file)

    def can_be_hurt_by(self, fault):
        return not self.near or fault in ("kill", "stop")

    def start(self, node):
        config = ["--config", self.path(f"{node}.json")]
        self.launch(node, "ccmd", f"{self.build}/ccm/daemon/ccmd", *config)
        self.launch(node, "hapaird", f"{self.build}/agent/daemon/hapaird", *config)

    def watch(self):
        hapair = [f"{self.build}/agent/cli/hapair", "--config", self.path("alpha.json")]
        until = now_s() + 10
        while subprocess.run([*hapair, "status"], capture_output=True, check=False).returncode != 0:
            if now_s() > until:
                raise RuntimeError(f"{self.name} on alpha does not answer")
            time.sleep(0.05)
        follower = subprocess.Popen(dying_with_us(*hapair, "events", "--follow", "--json", "--last", "100"), stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True)

        def read():
            for line in follower.stdout:
                record = json.loads(line)
                if record.get("kind") == "verdict":
                    verdict = record["fields"]["verdict"]
                    if verdict == "alive" or verdict in self.DOWN:
                        self.note(record["when_ns"] / 1e9, verdict != "alive")
        threading.Thread(target=read, daemon=True).start()


class Corosync(System):
    """`token_ms`: none for its own default. Neither encrypts nor authenticates."""

    def __init__(self, name, lan, folder, token_ms, number):
        super().__init__(name, lan, folder)
        totem = f"version: 2\n cluster_name: bench{number}\n transport: knet\n crypto_cipher: none\n crypto_hash: none\n"
        link = f"linknumber: 0\n  mcastport: {5405 + 10 * number}\n"
        if token_ms:
            totem += f" token: {token_ms}\n"
            # With its own timers of the link, short tokens drop the link every few seconds by themselves.
            link += "  knet_ping_interval: 250\n  knet_ping_timeout: 1000\n"
        nodes = "".join(f" node {{\n  ring0_addr: {ADDRESSES[node]}\n  name: {node}\n  nodeid: {i + 1}\n }}\n" for i, node in enumerate(NODES))
        for node in NODES:
            with open(self.path(f"{node}.conf"), "w", encoding="ascii") as file:
                file.write(f"totem {{\n {totem} interface {{\n  {link} }}\n}}\nnodelist {{\n{nodes}}}\nquorum {{\n provider: corosync_votequorum\n"
                           f" two_node: 1\n}}\nlogging {{\n to_logfile: yes\n logfile: {self.path(node)}.corosync\n to_syslog: no\n"
                           f" to_stderr: no\n timestamp: hires\n}}\n")
            os.makedirs(self.path(f"lib-{node}"))
        # Sockets in the file system instead of one name space a network: so that several can run on one node.
        shutil.copytree("/etc", self.path("etc"), symlinks=True)
        os.makedirs(self.path("etc/libqb"), exist_ok=True)
        with open(self.path("etc/libqb/force-filesystem-sockets"), "w", encoding="ascii"):
            pass

    def start(self, node):
        words = (f"mount --bind {self.path('etc')} /etc && mount --bind {self.path(f'lib-{node}')} /var/lib/corosync && "
                 f"mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs -o mode=1777 tmpfs /dev/shm && "
                 f"exec corosync -f -c {self.path(f'{node}.conf')}")
        self.launch(node, "out", "unshare", "--mount", "--ipc", "--propagation", "private", "sh", "-c", words)

    def watch(self):
        until = now_s() + 10
        while not os.path.exists(self.path("alpha.corosync")) and now_s() < until:
            time.sleep(0.01)
        # It tells the time of the wall clock.
        offset = time.time() - now_s()

        def read(line):
            told = re.match(r"(\w+ +\d+ [0-9:]+)\.(\d+) .*A new membership \([^)]*\) was formed\.(.*)", line)
            if not told or not re.search(r"Members (joined|left):.*\b2\b", told[3]):
                return
            whole = time.mktime(time.strptime(f"{time.localtime().tm_year} {told[1]}", "%Y %b %d %H:%M:%S"))
            self.note(whole + float(f"0.{told[2]}") - offset, "Members joined" not in told[3])
        follow(self.path("alpha.corosync"), read)


class Keepalived(System):
    """alpha is the backup: that it becomes the master is its verdict about beta."""

    def __init__(self, name, lan, folder, advertisement_s, number, real_time=False):
        super().__init__(name, lan, folder)
        more = " vrrp_rt_priority 50\n vrrp_rlimit_rttime 1000000\n" if real_time else ""
        for node, priority in zip(NODES, (100, 200)):
            with open(self.path(f"{node}.conf"), "w", encoding="ascii") as file:
                file.write(f"global_defs {{\n router_id {node}\n vrrp_version 3\n notify_fifo {self.path(node)}.fifo\n{more}}}\n"
                           f"vrrp_instance pair {{\n state BACKUP\n interface {PORT}\n virtual_router_id {50 + number}\n priority {priority}\n"
                           f" advert_int {advertisement_s}\n virtual_ipaddress {{\n  10.99.1.{number + 1}/32\n }}\n}}\n")
            os.mkfifo(self.path(f"{node}.fifo"))

    def start(self, node):
        self.launch(node, "out", "keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file", self.path(f"{node}.conf"),
                    "--pid", self.path(f"{node}.pid"), "--vrrp_pid", self.path(f"{node}.vrrp.pid"))

    def watch(self):
        # Open for both, so that it has a reader at all times and an end never.
        fifo = os.fdopen(os.open(self.path("alpha.fifo"), os.O_RDWR), encoding="ascii")

        def read():
            for line in fifo:
                if told := re.search(r'INSTANCE "pair" (MASTER|BACKUP)', line):
                    self.note(now_s(), told[1] == "MASTER")
        threading.Thread(target=read, daemon=True).start()


class BareBeat(System):
    """What this machine takes for a heartbeat of that pace that judges nothing: a datagram each way."""

    def __init__(self, name, lan, folder, build, pace_ms, number):
        super().__init__(name, lan, folder)
        self.command = f"{build}/tests/bench/bare_beat"
        self.pace_us = 1000 * pace_ms
        self.port = 7470 + number

    def start(self, node):
        partner = NODES[1 - NODES.index(node)]
        self.launch(node, "out", self.command, ADDRESSES[node], ADDRESSES[partner], str(self.port), str(self.pace_us))

    def watch(self):
        raise RuntimeError(f"{self.name} tells nothing")
