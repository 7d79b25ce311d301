"""Two nodes over one rail of user-space iWARP and two IP networks that beats go over, in network namespaces: what the
networks tell when the rail is silent, and what strangers on them change (nothing but counters). Needs root; skipped without, and
says why.

usage: networks_test.py BUILD_FOLDER [TEST...]"""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from iwarp_pair import NODES, Pair, run_tests

BUILD_FOLDER = ""
PORT = 7490
BEAT_BYTES = 176
# In the namespace of the first argument's process: sends hexadecimal lines of standard input as datagrams.
SEND = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor line in sys.stdin: " \
       "s.sendto(bytes.fromhex(line.strip()), (sys.argv[1], int(sys.argv[2])))"
# Prints so many beats that pass by an interface.
OVERHEAR = "import socket, sys\ns = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800))\n" \
           "s.bind((sys.argv[1], 0x800))\nfound = 0\nwhile found < int(sys.argv[2]):\n  p = s.recv(70000)\n" \
           "  if p[28:36] == b'HAPBEAT1' and p[12:16] == socket.inet_aton(sys.argv[3]): print(p[28:].hex()); found += 1"


class Networks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = Pair(BUILD_FOLDER, ("one",), patience_ms=1_000, networks=("mgmt", "lan"))
        cls.addClassCleanup(cls.pair.end)
        cls.pair.start_all()

    def setUp(self):
        self.heal()
        self.pair.wait_connected("one")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")
            for name in self.pair.networks:
                self.wait_state(node, name, "beats")
        self.before = {node: len(self.pair.verdicts(node)) for node in NODES}

    def tearDown(self):
        for node in NODES:
            for text in self.pair.verdicts(node)[self.before[node]:]:
                print(f"    {node}: {text}")

    def heal(self):
        for cable in (*self.pair.rails.values(), *self.pair.networks.values()):
            cable.tell("both", "heal")

    def wait_state(self, node, name, state):
        self.pair.wait_until(lambda: self.pair.networks_of(node).get(name, {}).get("state") == state,
                             f"{node} sees network {name} {state}")

    def new_verdicts(self, node):
        return self.pair.verdicts(node)[self.before[node]:]

    def refused(self, kind, node="alpha", name="mgmt"):
        return self.pair.networks_of(node)[name]["refused"][kind]

    def send_to_alpha(self, *datagrams):
        subprocess.run([*self.pair.within("beta"), "/usr/bin/python3", "-c", SEND, "10.88.1.1", str(PORT)], check=True, text=True,
                       input="\n".join(datagram.hex() for datagram in datagrams))

    def overheard(self, count):
        """Beats of beta's, as they pass on the network mgmt."""
        shown = subprocess.run([*self.pair.within("alpha"), "/usr/bin/python3", "-c", OVERHEAR, "mgmt", str(count), "10.88.1.2"],
                               check=True, text=True, capture_output=True, timeout=30).stdout
        return [bytes.fromhex(line)[:BEAT_BYTES] for line in shown.split()]

    def test_each_network_beats_both_ways_and_is_measured(self):
        for node in NODES:
            for network in self.pair.networks_of(node).values():
                self.assertEqual(network["state"], "beats")
                self.assertGreater(network["heard"], 0)
                self.assertGreater(network["round_trip_mean_ns"], 0)
                self.assertEqual(network["refused"]["forged"], 0)

    def test_rails_cut_while_a_network_beats_is_interconnect_lost(self):
        self.pair.networks["lan"].tell("both", "cut")
        self.pair.rails["one"].tell("both", "cut")
        for node in NODES:
            self.pair.wait_verdict(node, "interconnect-lost")
        time.sleep(2)
        for node in NODES:
            self.assertEqual(self.pair.verdict(node), "interconnect-lost")
            self.assertFalse([text for text in self.new_verdicts(node) if "unreachable" in text])
        self.pair.rails["one"].tell("both", "heal")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")

    def test_everything_cut_is_unreachable(self):
        for cable in (*self.pair.rails.values(), *self.pair.networks.values()):
            cable.tell("both", "cut")
        for node in NODES:
            self.pair.wait_verdict(node, "unreachable")
        self.pair.networks["lan"].tell("both", "heal")
        for node in NODES:
            self.pair.wait_verdict(node, "interconnect-lost")
        self.heal()
        for node in NODES:
            self.pair.wait_verdict(node, "alive")

    def test_a_cut_of_one_direction_is_told_by_the_side_that_hears(self):
        self.pair.networks["mgmt"].tell("there", "cut")
        self.wait_state("alpha", "mgmt", "one-way")
        self.wait_state("beta", "mgmt", "silent")
        self.assertIn("does not hear this node", self.pair.hapair("alpha", "status").stdout)
        for node in NODES:
            self.assertEqual(self.new_verdicts(node), [])

    def test_delay_and_loss_are_measured_and_cost_nobody_a_verdict(self):
        self.pair.networks["mgmt"].tell("both", "delay", "20")
        self.pair.networks["lan"].tell("both", "loss", "30")
        lost = self.pair.networks_of("alpha")["lan"]["lost"]
        self.pair.wait_until(lambda: self.pair.networks_of("alpha")["mgmt"]["round_trip_mean_ns"] > 35_000_000, "the delay shows")
        self.pair.wait_until(lambda: self.pair.networks_of("alpha")["lan"]["lost"] > lost + 10, "the losses show")
        for node in NODES:
            self.assertEqual(self.new_verdicts(node), [])

    def test_a_killed_ccm_is_heard_again_in_its_next_life(self):
        self.pair.signal("beta", "ccmd", signal.SIGKILL)
        self.wait_state("alpha", "mgmt", "silent")
        self.pair.start("beta", "ccmd")
        for node in NODES:
            self.wait_state(node, "mgmt", "beats")
        self.pair.wait_verdict("alpha", "alive")

    def test_strangers_change_nothing_but_counters(self):
        beat = self.overheard(1)[0]
        foreign = beat[:16] + b"other".ljust(32, b"\0") + beat[48:]
        forged = beat[:-1] + bytes([beat[-1] ^ 1])
        version = beat[:8] + struct.pack("<H", 9) + beat[10:]
        kinds = {"malformed": [b"", b"garbage", beat[:100], beat + b"\0", bytes(60_000)], "foreign": [foreign], "forged": [forged],
                 "version": [version], "replayed": [beat]}
        before = {kind: self.refused(kind) for kind in kinds}
        time.sleep(0.1)
        for kind, datagrams in kinds.items():
            self.send_to_alpha(*datagrams)
            self.pair.wait_until(lambda k=kind, n=len(datagrams): self.refused(k) >= before[k] + n, f"{kind} is counted")
        shown = self.pair.hapair("alpha", "status").stdout
        for word in ("forged", "malformed", "node beta of pair other"):
            self.assertIn(word, shown)
        for node in NODES:
            self.assertEqual(self.new_verdicts(node), [])
            self.wait_state(node, "mgmt", "beats")

    def test_a_recording_does_not_keep_a_dead_partner_alive(self):
        recorded = self.overheard(100)
        self.pair.rails["one"].tell("both", "cut")
        for node in NODES:
            self.pair.wait_verdict(node, "interconnect-lost")
        # Not by a cut of the network: the stranger is on it.
        for program in ("ccmd", "hapaird"):
            self.pair.signal("beta", program, signal.SIGSTOP)
        self.pair.wait_verdict("alpha", "unreachable")
        for _ in range(5):
            self.send_to_alpha(*recorded)
        time.sleep(0.5)
        self.assertEqual(self.pair.verdict("alpha"), "unreachable")
        self.assertGreaterEqual(self.refused("replayed"), 100)
        for program in ("ccmd", "hapaird"):
            self.pair.signal("beta", program, signal.SIGCONT)

    def test_a_flood_does_not_touch_the_rail(self):
        reads = self.pair.rails_of("alpha")["one"]["sessions"]
        flood = [bytes([i % 256]) * 150 for i in range(2000)]
        until = time.monotonic() + 3
        while time.monotonic() < until:
            self.send_to_alpha(*flood)
        self.assertEqual(self.pair.rails_of("alpha")["one"]["sessions"], reads)
        for node in NODES:
            self.assertEqual(self.new_verdicts(node), [])
        self.wait_state("alpha", "mgmt", "beats")

    def test_a_node_that_was_paused_does_not_blame_its_partner(self):
        for program in ("ccmd", "hapaird"):
            self.pair.signal("beta", program, signal.SIGSTOP)
        time.sleep(5)
        for program in ("hapaird", "ccmd"):
            self.pair.signal("beta", program, signal.SIGCONT)
        self.pair.wait_verdict("alpha", "alive")
        self.pair.wait_verdict("beta", "alive")
        blame = [text for text in self.new_verdicts("beta") if any(word in text for word in ("unreachable", "hung", "lost", "gone"))]
        self.assertEqual(blame, [])
        limits = json.loads(self.pair.hapair("beta", "status", "--json").stdout)["partner_status"]["limits"]
        self.assertGreater(sum(int(limit.get("forgiven", 0)) for limit in limits), 0)
        # And it says so, with how long it was away, before anything else that it saw meanwhile.
        self.assertRegex(" ".join(self.pair.told("beta", "local-health")), r"this node looked or beat [45]\d\d\d\.\d ms late: .* may be its own doing")


class MailboxDisk(unittest.TestCase):
    """One rail and one mailbox disk, which is a file that both reach."""
    BLOCK = 4096

    @classmethod
    def setUpClass(cls):
        cls.pair = Pair(BUILD_FOLDER, ("one",), disks=("shared",))
        cls.addClassCleanup(cls.pair.end)
        cls.device = cls.pair.disk("shared")
        with open(cls.device, "wb") as disk:
            disk.truncate(40 * cls.BLOCK)
        cls.pair.start_all()

    def setUp(self):
        self.pair.rails["one"].tell("both", "heal")
        self.pair.wait_connected("one")
        if "nothing was changed" not in self.prepare().stdout:
            for node in NODES:
                self.wait_state(node, "beats")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")
        self.before = {node: len(self.pair.verdicts(node)) for node in NODES}

    def prepare(self, *arguments):
        return self.pair.hapair("alpha", "mailbox", "init", self.device, *arguments)

    def state(self, node):
        return self.pair.networks_of(node).get("shared", {"state": "its ccmd does not answer"})

    def wait_state(self, node, state):
        self.pair.wait_until(lambda: self.state(node)["state"] == state, f"{node} sees the disk {state}")

    def read(self, block):
        with open(self.device, "rb") as disk:
            disk.seek(block * self.BLOCK)
            return disk.read(self.BLOCK)

    def write(self, block, data):
        with open(self.device, "r+b", buffering=0) as disk:
            disk.seek(block * self.BLOCK)
            disk.write(data)

    def new_verdicts(self, node):
        return self.pair.verdicts(node)[self.before[node]:]

    def test_rails_cut_while_the_disk_beats_is_interconnect_lost(self):
        self.pair.rails["one"].tell("both", "cut")
        for node in NODES:
            self.pair.wait_verdict(node, "interconnect-lost")
        shown = self.pair.hapair("alpha", "status").stdout
        self.assertIn("disk shared: the partner beats there", shown)
        time.sleep(2)
        for node in NODES:
            self.assertEqual(self.pair.verdict(node), "interconnect-lost")
            self.assertFalse([text for text in self.new_verdicts(node) if "unreachable" in text])

    def test_a_dead_partners_last_beat_does_not_keep_it_alive(self):
        for program in ("ccmd", "hapaird"):
            self.pair.signal("beta", program, signal.SIGSTOP)
        self.pair.rails["one"].tell("both", "cut")
        self.pair.wait_verdict("alpha", "unreachable")
        for program in ("ccmd", "hapaird"):
            self.pair.signal("beta", program, signal.SIGCONT)
        self.pair.rails["one"].tell("both", "heal")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")

    def test_garbage_and_old_beats_in_a_block_change_nothing_but_counters(self):
        old = self.read(2)
        self.assertEqual(old[:8], b"HAPBEAT1")
        self.pair.signal("beta", "ccmd", signal.SIGSTOP)  # it would write over them at once
        self.addCleanup(self.pair.signal, "beta", "ccmd", signal.SIGCONT)
        self.pair.wait_verdict("alpha", "unreachable")
        before = self.state("alpha")["refused"]
        for data, kind in ((b"garbage" * 100, "malformed"), (bytes(len(old)), "malformed"), (old, "replayed"),
                           (old[:16] + b"other".ljust(32, b"\0") + old[48:], "foreign"),
                           (old[:104] + struct.pack("<Q", 1 << 40) + old[112:], "forged")):
            self.write(2, data)
            self.pair.wait_until(lambda k=kind: self.state("alpha")["refused"][k] > before[k], f"{kind} is counted")
            before = self.state("alpha")["refused"]
        self.assertEqual(self.pair.verdict("alpha"), "unreachable")
        self.assertEqual([text for text in self.new_verdicts("alpha") if "lost" in text], [])

    def test_nothing_is_written_to_a_disk_that_is_not_this_pairs(self):
        self.assertIn("nothing was changed", self.prepare().stdout)
        self.write(0, b"somebody's data".ljust(self.BLOCK, b"."))
        # ccmd looks at whose disk it is when it opens it.
        for node in NODES:
            self.pair.signal(node, "ccmd", signal.SIGKILL)
            self.pair.start(node, "ccmd")
        for node in NODES:
            self.pair.wait_until(lambda n=node: self.state(n)["state"] == "unsent", f"{node} leaves the disk alone")
        blocks = [self.read(block) for block in range(3)]
        time.sleep(0.5)
        self.assertEqual([self.read(block) for block in range(3)], blocks)
        shown = self.pair.hapair("alpha", "status").stdout
        self.assertIn("it holds something else than a mailbox area", shown)
        refused = self.prepare()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("Nothing was written", refused.stderr)
        self.assertEqual(self.read(0), blocks[0])
        self.assertIn("is now a mailbox disk", self.prepare("--overwrite").stdout)
        for node in NODES:
            self.wait_state(node, "beats")

    def show(self):
        answer = self.pair.hapair("alpha", "mailbox", "show", "--json")
        disk, = json.loads(answer.stdout)["disks"]
        return answer.returncode, disk["problem"], {node["node"]: node["state"] for node in disk["nodes"]}

    def test_show_and_check_tell_who_beats_there_and_what_stands_in_its_place(self):
        self.assertEqual(self.show(), (0, "", {"alpha": "beats", "beta": "beats"}))
        self.assertIn("ok; a direct read takes", self.pair.hapair("alpha", "mailbox", "check").stdout)
        self.assertIn("beta   beats: beat ", self.pair.hapair("alpha", "mailbox", "show", self.device).stdout)
        whole = self.read(2)
        self.pair.signal("beta", "ccmd", signal.SIGSTOP)
        self.addCleanup(self.pair.signal, "beta", "ccmd", signal.SIGCONT)
        self.pair.wait_until(lambda: self.show()[2]["beta"] == "stands", "beta's beat stands")
        for data, state in ((b"garbage" * 100, "garbage"), (whole[:104] + struct.pack("<Q", 1 << 40) + whole[112:], "forged"),
                            (bytes(self.BLOCK), "blank"), (self.read(1), "garbage")):
            self.write(2, data)
            self.assertEqual(self.show(), (0, "", {"alpha": "beats", "beta": state}))
            checked = self.pair.hapair("alpha", "mailbox", "check")
            self.assertEqual(checked.returncode, 0 if state == "blank" else 1, checked.stderr)
        header = self.read(0)
        self.write(0, bytes(self.BLOCK))
        code, problem, nodes = self.show()
        self.assertEqual((code, nodes), (1, {}))
        self.assertIn(f"it is blank. Where it is to be this pair's: hapair mailbox init {self.device}", problem)
        self.write(0, header)

    def test_a_disk_that_the_configuration_does_not_name_is_refused(self):
        answer = self.pair.hapair("alpha", "mailbox", "init", "/dev/null")
        self.assertEqual(answer.returncode, 1)
        self.assertIn(f"which has {self.device}", answer.stderr)


def use_build(folder):
    global BUILD_FOLDER  # pylint: disable=global-statement
    BUILD_FOLDER = folder


if __name__ == "__main__":
    sys.exit(run_tests(use_build))
