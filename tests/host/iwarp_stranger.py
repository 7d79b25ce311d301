"""A stranger on the partner's host that speaks to a node's iWARP service: MPA, DDP and RDMAP frames made here from the
standards (RFC 5040, 5041, 5044, 6581), without hapair's code, right or wrong in one place."""

import contextlib
import ctypes
import os
import socket
import struct

SERVICE_PORT = 7480
CLONE_NEWNET = 0x40000000
STATUS_STAG, STATUS_AT = 0x48410001, 0x484100000000
MAILBOX_STAG, MAILBOX_AT = 0x48410002, 0x484100010000
PAGE = 4096
PATIENCE_S = 10


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(ulpdu, length=None, crc_xor=0):
    """`length`: what the frame says, where it lies."""
    head = struct.pack(">H", len(ulpdu) if length is None else length) + ulpdu
    head += bytes(-len(head) % 4)
    return head + struct.pack("<I", crc32c(head) ^ crc_xor)


def tagged(opcode, stag, offset, payload, ddp=0xC1, version=0x40):
    return struct.pack(">BBIQ", ddp, version | opcode, stag, offset) + payload


def untagged(opcode, queue, message, payload, ddp=0x41, offset=0):
    return struct.pack(">BBIIII", ddp, 0x40 | opcode, 0, queue, message, offset) + payload


def write(stag, offset, payload):
    return frame(tagged(0, stag, offset, payload))


def read(stag, offset, length, message=1):
    return frame(untagged(1, 1, message, struct.pack(">IQIIQ", 1, 0, length, stag, offset)))


def hapair_request():
    """The 48 bytes of ccm/wire/connect_data.h for the early channel."""
    data = b"HAPC" + struct.pack("<HBB", 1, 1, 0) + bytes(32) + bytes(4)
    return data + struct.pack("<I", crc32c(data))


def mpa_request(private, revision=2, length=None):
    enhanced = struct.pack(">HH", 16, 16)
    said = len(enhanced) + len(private) if length is None else length
    return b"MPA ID Req Frame" + struct.pack(">BBH", 0x50, revision, said) + enhanced + private


@contextlib.contextmanager
def inside(pid):
    """Sockets that are made here belong to the network namespace of `pid`."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Stranger:
    def __init__(self, pid, address):
        with inside(pid):
            self.socket = socket.create_connection((address, SERVICE_PORT), timeout=PATIENCE_S)

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # turned away before the end of it

    def until_closed(self):
        """All that still comes; the other end closes within a time."""
        heard = b""
        try:
            while part := self.socket.recv(65536):
                heard += part
        except ConnectionResetError:
            pass
        return heard

    def exactly(self, count):
        heard = b""
        while len(heard) < count:
            part = self.socket.recv(count - len(heard))
            if not part:
                raise ConnectionResetError(f"closed after {len(heard)} of {count} bytes")
            heard += part
        return heard

    def ask(self, request):
        """The answer to an MPA request: rejected or not, and its private data."""
        self.send(request)
        head = self.exactly(20)
        if head[:16] != b"MPA ID Rep Frame":
            raise ValueError(f"no MPA reply: {head!r}")
        return bool(head[16] & 0x20), self.exactly(struct.unpack(">H", head[18:])[0])

    def enter(self):
        rejected, _ = self.ask(mpa_request(hapair_request()))
        if rejected:
            raise ValueError("a right request was rejected")
        return self

    def next_frame(self):
        head = self.exactly(2)
        length = struct.unpack(">H", head)[0]
        rest = self.exactly(length + (-(2 + length) % 4) + 4)
        if struct.unpack("<I", rest[-4:])[0] != crc32c(head + rest[:-4]):
            raise ValueError("a frame with a wrong CRC")
        return rest[:length]

    def terminate_code(self):
        """Layer, type and code of the Terminate that is the other end's last word."""
        ulpdu = self.next_frame()
        if ulpdu[1] & 0x0F != 7:
            raise ValueError(f"no Terminate: opcode {ulpdu[1] & 0x0F}")
        first, code = ulpdu[18], ulpdu[19]
        self.until_closed()
        return first >> 4, first & 0x0F, code
