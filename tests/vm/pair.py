"""A whole pair in the lab's two machines: ccmd over real verbs, with its trace, and hapaird with a fence agent that says
what the one who holds the switches says. One rail; no other channel."""

import json
import os
import re
import time
from dataclasses import dataclass

from machine import NODES, MachineError

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 60
PROGRAMS = ("ccmd", "hapaird", "hapair")
# Emulation is some hundred times slower than a real machine, and the host may be busy: the times of a real pair (10 ms,
# 50 ms, 100 ms, 30 ms) times two to ten, and the queue pair's own retries for 0.45 s.
PACE_MS, RETRY_MS, DEADLINE_MS, FLOOR_MS = 20, 500, 1000, 300
LINE = re.compile(r"^<\d>trace ([0-9.]+) rail (\S+): (.*)$", re.MULTILINE)


@dataclass
class Traced:
    """A line of ccmd's trace."""
    when_ms: float  # on its machine's clock
    text: str

    @property
    def error(self):
        """What the fabric said where it was no success."""
        if found := re.search(r"bytes: (\S+) after|^not connected: (\S+) after|^connection lost: (\S+)", self.text):
            error = next(group for group in found.groups() if group)
            return None if error == "done" else error
        return None


def other(node):
    return NODES[1 - NODES.index(node)]


class Pair:
    patience_s = PATIENCE_S

    def __init__(self, lab, fabrics=None):
        """`fabrics`: of the rail's end in each node, where they are not both verbs."""
        self.lab = lab
        self.machines = lab.machines
        self.fabrics = fabrics or {node: "verbs" for node in NODES}
        self.key = os.urandom(32)

    # ---- its parts

    def configuration(self, node):
        own = NODES.index(node) + 1
        rail = {"name": "one", "fabric": self.fabrics[node], "address": f"10.9.0.{own}", "partner_address": f"10.9.0.{3 - own}",
                "retry_timeout_ms": RETRY_MS}
        if self.fabrics[node] == "verbs":
            rail |= {"ack_timeout_exponent": 14, "retry_count": 6}
        elif "verbs" in self.fabrics.values():
            # siw computes the CRC of what is read from it, and then sends what the memory holds by then: of a page that changes
            # all the time it is wrong now and then. The page has a checksum and a MAC of its own.
            rail["crc"] = False
        return {
            "pair": "verbs", "node": node, "partner": other(node), "key_file": "/root/pair.key",
            "ccm": {"pace_ms": PACE_MS, "operation_deadline_ms": DEADLINE_MS,
                    "rails": [rail]},
            "heartbeat": {"floor_ms": FLOOR_MS, "agent_floor_ms": 2 * FLOOR_MS, "ceiling_ms": 2000},
            "fencing": {"devices": [{"name": "switch", "agent": "/usr/bin/fence_lab", "options": {}, "timeout_ms": 30000}],
                        "attempts": 1},
            "takeover": {"automatic": True, "ccm_silent_ms": 600000, "agent_silent_ms": 600000},
            "giveback": {"automatic": True, "stable_ms": 3000},
            "pools": [{"name": f"pool-{home[0]}", "home": home,
                       "resources": [{"name": "note", "type": "ocf:heartbeat:note"}]} for home in NODES],
        }

    def configure(self, node):
        machine = self.machines[node]
        machine.put("/root/hapair.json", json.dumps(self.configuration(node)).encode())
        machine.put("/root/pair.key", self.key)
        for name, into in (("note", "/usr/lib/ocf/resource.d/heartbeat/note"), ("fence_lab", "/usr/bin/fence_lab")):
            with open(os.path.join(HERE, "guest", name), "rb") as file:
                machine.put(into, file.read(), "755")
        machine.must("mkdir -p /etc/hapair /var/lib/hapair; ln -sf /root/hapair.json /etc/hapair/hapair.json")
        self.power(node, "on")

    def power(self, told, state):
        """Tells the fence agent of `told` what its partner's switch is at."""
        self.machines[told].must(f"echo {state} > /tmp/partner-power")

    def start_ccmd(self, node):
        self.machines[node].must("setsid ccmd --trace --phase root >> /tmp/ccmd.log 2>&1 < /dev/null & "
                                 "until [ -S /run/hapair/ccm.sock ]; do sleep 0.05; done", PATIENCE_S)

    def start_agent(self, node):
        self.machines[node].must("setsid hapaird >> /tmp/hapaird.log 2>&1 < /dev/null &")

    def start(self, node):
        self.start_ccmd(node)
        self.start_agent(node)

    # ---- a client with a port

    def start_receiver(self, node, *words):
        self.machines[node].must(f"rm -f /tmp/records; setsid mirror --json receive --log /tmp/records {' '.join(words)} "
                                 "> /tmp/receiver 2>&1 < /dev/null & echo $! > /tmp/receiver.pid")

    def send_records(self, node, *words):
        """What the sender says of itself, once the receiver has taken all."""
        status, shown = self.machines[node].run(f"mirror --json send --acknowledged /tmp/acknowledged {' '.join(words)} 2>/tmp/sender",
                                                4 * PATIENCE_S)
        if status != 0:
            raise MachineError(f"the sender on {node} failed: {shown}{self.machines[node].run('cat /tmp/sender')[1]}\n{self.logs()}")
        return json.loads(shown)

    def end_receiver(self, node):
        shown = self.machines[node].must("kill -INT $(cat /tmp/receiver.pid); "
                                         "while kill -0 $(cat /tmp/receiver.pid) 2>/dev/null; do sleep 0.1; done; "
                                         "grep ^{ /tmp/receiver", PATIENCE_S)
        return json.loads(shown)

    def mirror(self, sender, record_bytes=16384, slots=16, records=64):
        """A log from `sender` to its partner, checked there: what is worth showing, and what was not as expected."""
        alike = ("--record-bytes", str(record_bytes), "--slots", str(slots))
        self.start_receiver(other(sender), *alike)
        sent = self.send_records(sender, "--records", str(records), *alike)
        taken = self.end_receiver(other(sender))
        way = f"{self.fabrics[sender]} to {self.fabrics[other(sender)]}"
        shown = (f"mirror from {sender} ({way}): {sent['acknowledged']} records of {record_bytes} bytes acknowledged by completion in "
                 f"{sent['seconds'] * 1000:.0f} ms, {taken['records']} taken and checked by the receiver")
        problems = []
        if not sent["acknowledged"] == taken["records"] == taken["last"] == records:
            problems.append(f"mirror from {sender}: {records} records sent, {sent} {taken}")
        if sent["written_again"]:
            problems.append(f"mirror from {sender}: {sent['written_again']} records had to be written again")
        return shown, problems

    # ---- what it says

    def hapair(self, node, words):
        status, shown = self.machines[node].run(f"hapair {words} --json", PATIENCE_S)
        return shown if status == 0 else ""

    def trace(self, node, since_ms=0.0):
        shown = self.machines[node].must("cat /tmp/ccmd.log", PATIENCE_S)
        lines = [Traced(float(when) * 1000, text) for when, _, text in LINE.findall(shown)]
        return [line for line in lines if line.when_ms >= since_ms]

    def rail(self, node):
        shown = self.hapair(node, "rails")
        return json.loads(shown)["rails"][0] if shown else {"handshake": "no answer"}

    def rail_is_connected(self, node):
        return any("(mailbox page)" in line.text and "done after" in line.text for line in self.trace(node)) and \
            self.rail(node)["handshake"] == "connected"

    def records(self, node, since_ms):
        shown = self.hapair(node, "events --last 1000")
        records = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
        return [record for record in records if record["when_ns"] / 1e6 >= since_ms]

    def pools(self, node):
        shown = self.hapair(node, "status")
        return {pool["name"]: pool for pool in json.loads(shown)["pools"]} if shown else {}

    def runs(self, node, pool):
        # The instance of the one resource that a pool has.
        return self.machines[node].run(f"ls /tmp/resource-* 2>/dev/null | grep -c '{pool}'")[1].strip() != "0"

    def told_ms(self, node, kind, pool, since_ms):
        """When that was told of the pool for the first time, on the host's clock; nothing: not yet."""
        offset_ms, _ = self.clock_ms(node)
        found = [record["when_ns"] / 1e6 - offset_ms for record in self.records(node, since_ms + offset_ms)
                 if record["kind"] == kind and record.get("pool") == pool]
        return min(found) if found else None

    def wait(self, condition, what):
        until = time.monotonic() + self.patience_s
        while not (found := condition()):
            if time.monotonic() > until:
                raise MachineError(f"waited {self.patience_s} s in vain until {what}\n{self.logs()}")
            time.sleep(0.1)
        return found

    def logs(self):
        words = "grep -v 'bytes: done' /tmp/ccmd.log | tail -n 20; tail -n 8 /tmp/hapaird.log 2>/dev/null"
        return "\n".join(f"{node}: {machine.run(words)[1]}" for node, machine in self.machines.items() if machine.pid())

    def is_well(self, node):
        """It sees its partner alive, each pool is at home, and it is busy with nothing."""
        shown = self.hapair(node, "status")
        if not shown:
            return False
        status = json.loads(shown)
        pools = {pool["home"]: pool["state"] for pool in status["pools"]}
        return status["partner_status"]["verdict"] == "alive" and pools == {node: "serving", other(node): "elsewhere"}

    def wait_well(self):
        for node in NODES:
            self.wait(lambda n=node: self.is_well(n), f"{node} is well, and each pool at home")

    def clock_ms(self, node):
        return self.machines[node].clock_ms()
