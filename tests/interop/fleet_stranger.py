"""A stranger in the group `hapair`: joins it through libcpg and sends what is no news. Prints what it sent, by the kind as which it must
be counted; a line on standard input makes it claim to be node b4 of pair-4, which it is not. It stays until its standard input ends."""

import ctypes
import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "host"))

from iwarp_stranger import crc32c  # noqa: E402  pylint: disable=wrong-import-position

GROUP = b"hapair"
AGREED, TRY_AGAIN = 2, 6
WORDS = 24


class Name(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("value", ctypes.c_char * 128)]


class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class Group:
    def __init__(self):
        self.cpg = ctypes.CDLL("libcpg.so.4")
        self.handle = ctypes.c_uint64()
        callbacks = (ctypes.c_void_p * 2)()
        self.patiently(lambda: self.cpg.cpg_initialize(ctypes.byref(self.handle), callbacks), "cpg_initialize")
        name = Name(len(GROUP), GROUP)
        self.patiently(lambda: self.cpg.cpg_join(self.handle, ctypes.byref(name)), "cpg_join")

    @staticmethod
    def patiently(call, what):
        while True:
            error = call()
            if error == 1:
                return
            if error != TRY_AGAIN:
                sys.exit(f"{what}: error {error}")
            time.sleep(0.1)

    def send(self, message):
        part = Part(message, len(message))
        self.patiently(lambda: self.cpg.cpg_mcast_joined(self.handle, AGREED, ctypes.byref(part), 1), "cpg_mcast_joined")


def message(pair, node, partner, version=1):
    """By agent/corosync/fleet_message.h, of a node without pools."""
    def whole(crc):
        names = b"".join(word.encode().ljust(32, b"\0") for word in (pair, node, partner))
        words = b"".join(word.encode().ljust(WORDS, b"\0") for word in ("standby", "alive"))
        return b"HAPFLET1" + struct.pack("<HHIIB3x", version, 168, crc, 0, 0) + names + words
    return whole(crc32c(whole(0)))


def main():
    group = Group()
    true = message("pair-9", "alpha", "beta")
    kinds = {
        "foreign": [b"x", b"hello", os.urandom(4000), b"\0" * 200],
        "garbage": [true[:-1] + b"!", true + b"!", message("../etc", "alpha", "beta"), message("pair-9", "\033[2J", "beta")],
        "newer": [message("pair-9", "alpha", "beta", version=2), message("pair-9", "alpha", "beta", version=2)[:50]],
        "truncated": [true[:20], true[:8], true[:-1]],
    }
    for messages in kinds.values():
        for each in messages:
            group.send(each)
    print(" ".join(f"{kind}={len(messages)}" for kind, messages in kinds.items()), flush=True)
    for _ in sys.stdin:
        group.send(message("pair-4", "b4", "a4"))
        print("lied", flush=True)


if __name__ == "__main__":
    main()
