"""Two nodes as network namespaces on one switch, whose ports can be cut, made deaf or mute, lossy and slow: the kernel's own bridge
and filter, but for delays, which want the cable of tests/host."""

import os
import random
import subprocess
import threading
import time

WIRE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "host", "wire.py")
NODES = ("alpha", "beta")
ADDRESSES = {"alpha": "10.99.0.1", "beta": "10.99.0.2"}
PORT = "lan"
PATIENCE_S = 10
REAL_TIME = ["chrt", "--fifo", "60"]


def dying_with_us(*command):
    return ["setpriv", "--pdeathsig", "KILL", *command]


class Lan:
    def __init__(self):
        self.holders = {place: subprocess.Popen(dying_with_us("unshare", "--net", "sleep", "infinity")) for place in (*NODES, "switch")}
        self.cable = None
        self.jitter = None
        own = os.readlink("/proc/self/ns/net")
        until = time.monotonic() + PATIENCE_S
        for place, holder in self.holders.items():
            while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
                if time.monotonic() > until:
                    raise RuntimeError(f"no network namespace for {place}")
                time.sleep(0.01)
            self.run(place, "ip", "link", "set", "lo", "up")
        self.run("switch", "ip", "link", "add", "bridge", "type", "bridge", "stp_state", "0")
        # Where the module br_netfilter is loaded, each frame would pass the firewall of a machine too.
        for table in ("iptables", "ip6tables", "arptables"):
            self.run("switch", "sysctl", "--quiet", "--ignore", "--write", f"net.bridge.bridge-nf-call-{table}=0")
        self.run("switch", "ip", "link", "set", "bridge", "up")
        for node in NODES:
            self.run("switch", "ip", "link", "add", node, "type", "veth", "peer", "name", PORT, "netns", str(self.holders[node].pid))
            self.run("switch", "ip", "link", "set", node, "up", "promisc", "on", "master", "bridge")
            self.run(node, "ip", "addr", "add", f"{ADDRESSES[node]}/24", "dev", PORT)
            self.run(node, "ip", "link", "set", PORT, "up")

    def within(self, place):
        return ["nsenter", "--target", str(self.holders[place].pid), "--net"]

    def run(self, place, *words):
        subprocess.run([*self.within(place), *words], check=True)

    # ---- faults and loads, all on beta's port of the switch

    def drop(self, *rules):
        """Of the frames that the switch carries: `rules` are of nftables."""
        text = "table bridge faults {\n chain carried { type filter hook forward priority 0;\n" + "".join(f"  {rule} drop\n" for rule in rules) + " }\n}\n"
        subprocess.run([*self.within("switch"), "nft", "-f", "-"], input=f"table bridge faults {{}}\ndelete table bridge faults\n{text}",
                       text=True, check=True)

    def cut(self):
        self.run("switch", "ip", "link", "set", "beta", "down")

    def mute_beta(self):
        self.drop('iifname "beta"')

    def deafen_beta(self):
        self.drop('oifname "beta"')

    def lose(self, percent):
        self.drop(f"numgen random mod 1000 < {round(10 * percent)}")

    def delay(self, from_ms, to_ms):
        """Another delay within these bounds every tenth of a second, each way: what overtakes is put in order again by nobody."""
        for node in NODES:
            self.run("switch", "ip", "link", "set", node, "nomaster")
        self.cable = subprocess.Popen(dying_with_us(*REAL_TIME, *self.within("switch"), "/usr/bin/python3", "-B", WIRE, *NODES),
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cable.stdout.readline()
        self.jitter = threading.Event()
        threading.Thread(target=self.change_delays, args=(self.cable, self.jitter, from_ms, to_ms), daemon=True).start()

    @staticmethod
    def change_delays(cable, ended, from_ms, to_ms):
        while not ended.wait(0.1):
            for way in ("there", "back"):
                cable.stdin.write(f"{way} delay {random.uniform(from_ms, to_ms):.2f}\n")
                cable.stdin.flush()
                cable.stdout.readline()

    def heal(self):
        """Ends faults; a load goes on until calm()."""
        self.run("switch", "ip", "link", "set", "beta", "up")

    def calm(self):
        self.drop()
        if self.cable:
            self.jitter.set()
            self.cable.kill()
            self.cable.wait()
            self.cable = None
            for node in NODES:
                self.run("switch", "ip", "link", "set", node, "master", "bridge")

    def end(self):
        if self.cable:
            self.jitter.set()
            self.cable.kill()
        for holder in self.holders.values():
            holder.kill()
            holder.wait()
