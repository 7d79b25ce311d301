"""What a stranger on the partner's host can do to a ccmd over iWARP: be turned away. The pair's own connection goes on as
if nothing were. Needs root; skipped without, and says why.

usage: iwarp_strangers_test.py BUILD_FOLDER [TEST...]"""

import json
import os
import struct
import sys
import time
import unittest

import iwarp_stranger as stranger
from iwarp_pair import NODES, Pair, run_tests
from iwarp_stranger import MAILBOX_AT, MAILBOX_STAG, PAGE, STATUS_AT, STATUS_STAG, Stranger

BUILD_FOLDER = ""
ALPHA = "10.88.0.1"

# What is sent, and the Terminate that is owed for it: layer, type, code (RFC 5040, 4.8; RFC 5041, 7; RFC 5044, 8).
BROKEN_RULES = {
    "a write to the status page": (stranger.write(STATUS_STAG, STATUS_AT, b"x" * 64), (1, 1, 2)),
    "a read of the mailbox": (stranger.read(MAILBOX_STAG, MAILBOX_AT, 64), (0, 1, 2)),
    "a write with an STag that nobody has": (stranger.write(0x48410003, MAILBOX_AT, b"x"), (1, 1, 0)),
    "a read with an STag that nobody has": (stranger.read(0, STATUS_AT, 8), (0, 1, 0)),
    "a write across the end of the mailbox": (stranger.write(MAILBOX_STAG, MAILBOX_AT + PAGE - 4, b"x" * 8), (1, 1, 1)),
    "a write before the mailbox": (stranger.write(MAILBOX_STAG, MAILBOX_AT - 8, b"x" * 8), (1, 1, 1)),
    "a write round the end of all addresses": (stranger.write(MAILBOX_STAG, 2**64 - 4, b"x" * 8), (1, 1, 3)),
    "a read of more than the status page": (stranger.read(STATUS_STAG, STATUS_AT, PAGE + 1), (0, 1, 1)),
    "a read of 4 GiB": (stranger.read(STATUS_STAG, STATUS_AT, 2**32 - 1), (0, 1, 1)),
    "a read from before the status page": (stranger.read(STATUS_STAG, STATUS_AT - 64, 64), (0, 1, 1)),
    "a wrong CRC": (stranger.frame(stranger.tagged(0, MAILBOX_STAG, MAILBOX_AT, b"x"), crc_xor=1), (2, 0, 2)),
    "an opcode that nobody has": (stranger.frame(stranger.untagged(12, 0, 1, b"x")), (0, 2, 6)),
    "an answer to no request": (stranger.frame(stranger.tagged(2, MAILBOX_STAG, MAILBOX_AT, b"x")), (1, 1, 0)),
    "a message that no buffer awaits": (stranger.frame(stranger.untagged(3, 0, 1, b"x")), (1, 2, 2)),
    "a queue that nobody has": (stranger.frame(stranger.untagged(3, 9, 1, b"x")), (1, 2, 1)),
    "a read out of its turn": (stranger.read(STATUS_STAG, STATUS_AT, 8, message=7), (1, 2, 3)),
    "another version of DDP": (stranger.frame(stranger.tagged(0, MAILBOX_STAG, MAILBOX_AT, b"x", ddp=0xC2)), (1, 1, 4)),
    "another version of RDMAP": (stranger.frame(stranger.tagged(0, MAILBOX_STAG, MAILBOX_AT, b"x", version=0x80)), (0, 2, 5)),
    "a frame of nothing": (stranger.frame(b""), (2, 0, 3)),
    "a header cut short": (stranger.frame(stranger.tagged(0, MAILBOX_STAG, MAILBOX_AT, b"")[:9]), (2, 0, 3)),
    "a length that is shorter than the frame": (stranger.frame(stranger.tagged(0, MAILBOX_STAG, MAILBOX_AT, b"x" * 64), length=30),
                                                (2, 0, 2)),
    "an invalidation of the mailbox": (stranger.frame(struct.pack(">BBIIII", 0x41, 0x44, MAILBOX_STAG, 0, 1, 0)), (0, 1, 9)),
}

NO_IWARP = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: alpha\r\n\r\n",
    "zeros": bytes(64),
    "a reply for a request": b"MPA ID Rep Frame" + bytes(4),
    "another revision": stranger.mpa_request(stranger.hapair_request(), revision=9),
    "a length that no MPA frame has": stranger.mpa_request(stranger.hapair_request(), length=65535),
}
NOT_OURS = {
    "no private data": b"",
    "a request of another protocol": b"NVMe" + bytes(44),
    "a request cut short": stranger.hapair_request()[:-1],
    "a request with a wrong checksum": stranger.hapair_request()[:-4] + bytes(4),
    "a request for a port": stranger.hapair_request().replace(b"HAPC\x01\x00\x01", b"HAPC\x01\x00\x02"),
}


class Strangers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Patient, so that no session ends because this machine is busy: only what a stranger does can end one here.
        cls.pair = Pair(BUILD_FOLDER, patience_ms=5_000)
        cls.addClassCleanup(cls.pair.end)
        cls.pair.start_all()
        cls.pair.wait_connected("one", "two")
        cls.pair.wait_verdict("alpha", "alive")  # its agent has the CCM's counters now

    def setUp(self):
        self.sessions = self.sessions_now()
        self.strangers = []
        self.addCleanup(lambda: [one.close() for one in self.strangers])

    def sessions_now(self):
        return {(node, name): rail["sessions"] for node in NODES for name, rail in self.pair.rails_of(node).items()}

    def dial(self):
        self.strangers.append(Stranger(self.pair.holders["beta"].pid, ALPHA))
        return self.strangers[-1]

    def assert_own_connection_untouched(self):
        reads = self.pair.rails_of("beta")["one"]["reads"]
        self.pair.wait_until(lambda: self.pair.rails_of("beta")["one"]["reads"] > reads + 10, "beta reads alpha's page on")
        self.assertEqual(self.sessions_now(), self.sessions)
        for node in NODES:
            self.assertEqual(self.pair.connected(node), {"one", "two"})

    def turned_away(self):
        return self.pair.rails_of("alpha")["one"]["turned_away"]

    def assert_counted(self, before, count):
        self.pair.wait_until(lambda: self.turned_away() >= before + count, f"{count} more are counted as turned away")

    def test_whoever_speaks_something_else_is_closed(self):
        before = self.turned_away()
        for what, said in NO_IWARP.items():
            with self.subTest(what):
                one = self.dial()
                one.send(said)
                self.assertEqual(one.until_closed(), b"")
        self.assert_counted(before, len(NO_IWARP))
        self.assert_own_connection_untouched()

    def test_whoever_speaks_mpa_and_is_not_the_partner_is_rejected(self):
        for what, private in NOT_OURS.items():
            with self.subTest(what):
                one = self.dial()
                rejected, _ = one.ask(stranger.mpa_request(private))
                self.assertTrue(rejected)
                one.until_closed()
        self.assert_own_connection_untouched()

    def test_every_broken_rule_is_told_by_its_terminate(self):
        before = self.turned_away()
        for what, (said, owed) in BROKEN_RULES.items():
            with self.subTest(what):
                one = self.dial().enter()
                one.send(said)
                self.assertEqual(one.terminate_code(), owed)
        self.assert_counted(before, len(BROKEN_RULES))
        self.assert_own_connection_untouched()

    def test_a_frame_that_never_ends_is_waited_for_by_nobody_else(self):
        whole = stranger.write(MAILBOX_STAG, MAILBOX_AT + PAGE - 64, b"x" * 64)
        for cut in (1, 2, 3, 15, 16, 17, len(whole) - 4, len(whole) - 1):
            self.dial().enter().send(whole[:cut])
        self.assert_own_connection_untouched()
        for one in self.strangers:
            one.close()
        self.assert_own_connection_untouched()

    def test_the_status_page_shows_itself_and_an_unauthenticated_record_changes_a_counter_only(self):
        one = self.dial().enter()
        one.send(stranger.read(STATUS_STAG, STATUS_AT, PAGE))
        heard = b""
        while len(heard) < PAGE:
            ulpdu = one.next_frame()
            self.assertEqual(ulpdu[1] & 0x0F, 2, "a read response")
            heard += ulpdu[14:]
        self.assertEqual(heard[:8], b"HAPSTAT1")
        before = self.refused_as_malformed()
        # A record with its checksum and no MAC of the key, in the slot of the handshake's first record.
        record = b"\1\0\1\0" + bytes(4) + b"iwarp".ljust(32, b"\0") + b"beta".ljust(32, b"\0") + bytes(range(1, 177))
        record = b"HPR1" + struct.pack("<I", stranger.crc32c(record)) + record
        self.assertEqual(len(record), 256)
        one.send(stranger.write(MAILBOX_STAG, MAILBOX_AT, record))
        one.send(stranger.write(MAILBOX_STAG, MAILBOX_AT + 256, os.urandom(256)))
        self.pair.wait_until(lambda: self.refused_as_malformed() > before, "the record is counted as refused")
        self.assert_own_connection_untouched()

    def refused_as_malformed(self):
        return int(json.loads(self.pair.hapair("alpha", "status", "--json").stdout)["ccm"]["refused_malformed"])

    def test_a_flood_of_connections_leaves_the_pairs_own_alone(self):
        until = time.monotonic() + 2
        count = 0
        while time.monotonic() < until or count < 300:
            one = self.dial()
            count += 1
            if count % 3 == 0:
                one.send(os.urandom(64))
            elif count % 3 == 1:
                one.send(stranger.mpa_request(stranger.hapair_request()))
            if len(self.strangers) > 200:
                self.strangers.pop(0).close()
        self.assert_own_connection_untouched()
        # And whoever comes afterwards is served as before.
        with_a_right = self.dial().enter()
        with_a_right.send(stranger.read(STATUS_STAG, STATUS_AT, 8))
        self.assertEqual(with_a_right.next_frame()[14:22], b"HAPSTAT1")

    def test_a_flood_of_connections_that_read_takes_only_places_of_its_own(self):
        until = time.monotonic() + 2
        while time.monotonic() < until:
            try:
                one = self.dial().enter()
                for message in range(1, 4):
                    one.send(stranger.read(STATUS_STAG, STATUS_AT, 64, message))
                    one.next_frame()
            except (ConnectionResetError, BrokenPipeError):
                pass  # it gave way to one that came a moment later
            if len(self.strangers) > 50:
                self.strangers.pop(0).close()
        self.assert_own_connection_untouched()


def use_build(folder):
    global BUILD_FOLDER
    BUILD_FOLDER = folder


if __name__ == "__main__":
    sys.exit(run_tests(use_build))
