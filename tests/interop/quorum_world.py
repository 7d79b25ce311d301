"""The nodes of tests/host/split with a real Corosync in place of the mailbox disk: corosync and corosync-qdevice on each, started at each
boot, and corosync-qnetd on a third machine, a network namespace that each node reaches by a link of its own. A watchdog, and no fence
device: leases rest on Corosync's quorum."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time

from split_world import BOOT_ID, WATCHDOG, SplitWorld, Times
from world.command import ENVIRONMENT, run, succeeds
from world.layout import ADDRESSES, NODES, RAIL_ADDRESSES, WorldError, partner_of
from world.shape import Shape

WITNESS = "witness"            # the place of corosync-qnetd
WITNESS_ADDRESS = "10.88.0.1"  # whichever link goes there
LINKS = {"alpha": ("10.88.1.1", "10.88.1.2"), "beta": ("10.88.2.1", "10.88.2.2")}  # of the witness's end, and the node's
QNETD_PORT = 5403
CLUSTER = "hapair-quorum"
LOOK_EVERY_S = 0.05
COROSYNC = """totem {{
  version: 2
  cluster_name: {cluster}
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: {token}
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
  device {{
    model: net
    votes: 1
    timeout: {device}
    sync_timeout: {sync}
    net {{
      host: {witness}
      port: {port}
      tls: off
      algorithm: ffsplit
    }}
  }}
}}
system {{
  move_to_root_cgroup: no
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}}
"""
# corosync-qdevice ends where Corosync takes no clients yet; it is started again then.
START = {"corosync": "mkdir -p /run/lock /run/corosync-qdevice && exec corosync", "corosync-qdevice": "exec corosync-qdevice"}
START_AGAIN_S = 1


@dataclasses.dataclass(frozen=True)
class QuorumTimes(Times):
    """In milliseconds, Corosync's too."""
    token: int = 1000
    device: int = 2000
    sync: int = 8000

    @property
    def slack(self):
        """So long a node may count the device's vote: agent/corosync/quorum_standing.h."""
        return 2 * max(self.device * 0.8, 1000) + self.device

    @property
    def wait(self):
        return 2 * self.slack + self.over


def shape_for(times):
    def configure(node, configuration):
        partner = partner_of(node)
        configuration["ccm"] |= {
            "rails": [{"name": "rail", "fabric": "iwarp", "address": RAIL_ADDRESSES[node], "partner_address": RAIL_ADDRESSES[partner]}],
            # True of these pools: tests/host/split_world.py says why.
            "watchdog": {"device": WATCHDOG, "timeout_ms": times.watchdog, "container_covers_pools": True}}
        configuration |= {
            "boot_id_file": BOOT_ID, "arbiter": "corosync", "lease": {"duration_ms": times.lease, "stop_ms": times.stop},
            "fencing": {"devices": []},
            # Wide: what a busy machine does to a process is not what is tested.
            "heartbeat": {"floor_ms": 100, "agent_floor_ms": 300, "ceiling_ms": 1500}}
        return configuration
    return Shape(watchdog=WATCHDOG, rail=True, configure=configure)


class QuorumWorld(SplitWorld):
    def __init__(self, options, build_folder, times):
        super().__init__(options, build_folder, times, "quorum", shape_for(times))
        self.qnetd = None
        self.started = {}  # node: the PID 1 in which Corosync was started
        self.held = set()  # nodes on which nobody starts it
        self.not_before = {}  # of a node's PID 1 and a program: it is started again then
        self.ending = False
        self.starter = threading.Thread(target=self._start_corosyncs, daemon=True, name="systemd")

    # --- up ---

    def build_witness(self):
        netns = self.world.layout.netns(WITNESS)
        if not succeeds("ip", "netns", "exec", netns, "true"):
            run("ip", "netns", "add", netns)
        run("ip", "-n", netns, "-batch", "-", stdin=f"link set lo up\naddr replace {WITNESS_ADDRESS}/32 dev lo\n")
        self.start_qnetd()

    def start_qnetd(self):
        """In a mount namespace of its own, where it has a /run for itself."""
        with open(self.world.layout.node("qnetd.log"), "ab") as log:
            self.qnetd = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self.world.layout.netns_path(WITNESS)}", "unshare", "--mount",
                 "sh", "-c", "mount -t tmpfs run /run && mkdir -p /run/corosync-qnetd && exec corosync-qnetd -f -s off -4 "
                             f"-p {QNETD_PORT} -d"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT)

    def kill_qnetd(self):
        self.qnetd.kill()
        self.qnetd.wait()

    def prepare_corosync(self, node):
        def place(*parts):
            return self.world.layout.node(node, *parts)
        for folder in ("etc/corosync", "var/lib/corosync", "var/log/corosync"):
            os.makedirs(place(folder), exist_ok=True)
        members = "".join(f"  node {{\n    ring0_addr: {ADDRESSES[each]}\n    name: {each}\n    nodeid: {number}\n  }}\n"
                          for number, each in enumerate(NODES, 1))
        with open(place("etc/corosync/corosync.conf"), "w", encoding="utf-8") as file:
            file.write(COROSYNC.format(cluster=CLUSTER, token=self.times.token, nodes=members, device=self.times.device,
                                       sync=self.times.sync, witness=WITNESS_ADDRESS, port=QNETD_PORT))

    def _plug_into_witness(self, node, pid):
        """The link goes with the node's network namespace."""
        netns, (near, far) = self.world.layout.netns(WITNESS), LINKS[node]
        with contextlib.suppress(WorldError):
            run("ip", "-n", netns, "link", "del", f"to-{node}")
        run("ip", "-n", netns, "link", "add", f"to-{node}", "type", "veth", "peer", "name", "witness0", "netns", str(pid))
        run("ip", "-n", netns, "-batch", "-", stdin=f"addr add {near}/30 dev to-{node}\nlink set to-{node} up\n")
        done = self.machines[node].execute("sh", "-ec", f"ip addr add {far}/30 dev witness0; ip link set witness0 up; "
                                                        f"ip route replace {WITNESS_ADDRESS}/32 via {near}")
        if done.returncode != 0:
            raise WorldError(f"{node} has no way to the witness: {done.stderr.strip()}")

    def _start_corosyncs(self):
        """At each boot, and where they died: what systemd does on a real node."""
        while not self.ending:
            for node, machine in self.machines.items():
                pid = machine.pid
                if not machine.is_on or not machine.wait_for("kernel", 0.01):
                    continue
                with contextlib.suppress(WorldError, OSError):
                    if self.started.get(node) != pid:
                        self._plug_into_witness(node, pid)
                        self.started[node] = pid
                    if node not in self.held:
                        self._start_missing(machine)
            time.sleep(LOOK_EVERY_S)

    def _start_missing(self, machine):
        """One after the other: the second needs the first."""
        for program, command in START.items():
            if machine.pids_of(program):
                continue
            if time.monotonic() >= self.not_before.get((machine.pid, program), 0):
                self.not_before[(machine.pid, program)] = time.monotonic() + START_AGAIN_S
                machine.execute("sh", "-c", command, timeout=60)
            return

    def end(self):
        self.ending = True
        if self.starter.is_alive():
            self.starter.join()
        if self.qnetd is not None:
            self.kill_qnetd()
        kept = super().end()
        if os.path.exists(self.world.layout.netns_path(WITNESS)):
            run("ip", "netns", "del", self.world.layout.netns(WITNESS))
        return kept

    # --- faults ---

    def set_witness(self, node, reachable):
        run("ip", "-n", self.world.layout.netns(WITNESS), "link", "set", f"to-{node}", "up" if reachable else "down")

    def kill_corosync(self, node, and_hold=True):
        if and_hold:
            self.held.add(node)
        return self.machines[node].signal_program("corosync", signal.SIGKILL)

    # --- looking ---

    def quorum(self, node):
        """What hapair says of it there."""
        return (self.ask(node, "status") or {}).get("quorum", "")

    def troubles(self, node):
        return (self.ask(node, "status") or {}).get("quorum_troubles", [])
