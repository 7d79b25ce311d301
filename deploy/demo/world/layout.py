"""Names, places and addresses. Everything that the demonstration makes carries the world's prefix, so that what a
killed run left behind can be found again and nothing else is ever touched."""

import dataclasses
import os
import time

NODES = ("alpha", "beta")
BLOCK_BYTES = 4096


class WorldError(Exception):
    """Something the operator must know; its text is the sentence."""


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclasses.dataclass(frozen=True)
class Pool:
    name: str
    home: str
    filesystem: str
    address: str
    tid: int
    image_mib: int
    lun_mib: int

    @property
    def directory(self):
        return f"/srv/{self.name}"

    @property
    def backing(self):
        return f"{self.directory}/lun"

    @property
    def iqn(self):
        return f"iqn.2026-01.org.hapair.demo:{self.name}"

    @property
    def portal(self):
        return f"{self.address}:3260"

    @property
    def slots(self):
        return self.lun_mib * 1024 * 1024 // BLOCK_BYTES


# mkfs.xfs refuses less than 300 MiB.
POOLS = (
    Pool("pool-a", "alpha", "ext4", "10.86.0.101", 1, 256, 160),
    Pool("pool-b", "beta", "xfs", "10.86.0.102", 2, 384, 160),
)
NETWORK_BITS = 24
ADDRESSES = {"alpha": "10.86.0.1", "beta": "10.86.0.2", "client": "10.86.0.10"}
RAIL_ADDRESSES = {"alpha": "10.87.0.1", "beta": "10.87.0.2"}  # of a world that has such an interconnect


def pool_named(name):
    return next(pool for pool in POOLS if pool.name == name)


def partner_of(node):
    return NODES[1] if node == NODES[0] else NODES[0]


class Layout:
    """The places of one world. `name` tells a test's world from the demonstration's."""

    def __init__(self, name="demo"):
        self.name = name
        self.prefix = f"hapair-{name}"
        self.base = f"/var/tmp/{self.prefix}"
        self.shm = f"/dev/shm/{self.prefix}"
        self.lock = f"/run/lock/{self.prefix}.lock"
        self.programs = f"{self.base}/programs"
        self.images = f"{self.base}/images"
        self.key = f"{self.base}/pair.key"
        self.power_socket = f"{self.base}/power.sock"
        self.watch_spec = f"{self.base}/watch.json"
        self.watch_result = f"{self.base}/watch-result.json"
        self.watch_log = f"{self.base}/watch.log"

    def netns(self, place):
        """`place`: a node, "client" or "net" (the switch)."""
        return f"{self.prefix}-{place}"

    def netns_path(self, place):
        return f"/run/netns/{self.netns(place)}"

    def node(self, node, *parts):
        return os.path.join(self.base, node, *parts)

    def power_file(self, node):
        return self.node(node, "power.json")

    def port_file(self, node):
        return f"{self.shm}/{node}.port"

    def image(self, pool):
        return f"{self.images}/{pool.name}.img"

    def more_image(self, name):
        return f"{self.images}/{name}.img"

    def client(self, pool, what):
        return f"{self.base}/client-{pool.name}.{what}"
