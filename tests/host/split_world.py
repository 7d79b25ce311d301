"""The world of `tests/host/run split`: the demonstration's two nodes as containers with a watchdog (hapair-node-init is their process 1),
over a rail of iWARP, a network of beats and one mailbox disk, without a fence device; and what the watcher and the records show of it."""

import dataclasses
import os

from demonstration import Demonstration
from world import disks
from world.layout import NODES, RAIL_ADDRESSES, WorldError, partner_of
from world.shape import Shape
from world.world import World

MAILBOX = "mailbox"
MAILBOX_BYTES = 1 << 20
WATCHDOG = "/run/hapair-watchdog"
BOOT_ID = "/run/hapair-boot-id"
ENDED_BY_WATCHDOG = 90  # ccm/container/node_init.h
RECORD_BYTES, HEAD_BYTES = 32, 32  # deploy/demo/client/ledger.h


@dataclasses.dataclass(frozen=True)
class Times:
    """In milliseconds."""
    lease: int
    stop: int
    watchdog: int

    @property
    def over(self):
        """What an owner tells its partner: agent/core/lease.h."""
        return self.lease + self.stop + 2 * self.watchdog + 1000


def shape_for(times):
    def configure(node, configuration):
        partner = partner_of(node)
        configuration["ccm"] |= {
            "rails": [{"name": "rail", "fabric": "iwarp", "address": RAIL_ADDRESSES[node],
                       "partner_address": RAIL_ADDRESSES[partner]}],
            "mailbox_disks": [{"name": MAILBOX, "device": f"/run/disks/{MAILBOX}", "pace_ms": 200}],
            # True of these pools: targets are tgtd's, which is a process; a small file system on a loop device is unmounted at once, and its
            # image is this host's memory. The addresses are in a network namespace that this harness holds, and its keeper takes away when
            # the node has ended; an address alone writes nothing.
            "watchdog": {"device": WATCHDOG, "timeout_ms": times.watchdog, "container_covers_pools": True}}
        configuration |= {
            "boot_id_file": BOOT_ID,
            "arbiter": "mailbox", "lease": {"duration_ms": times.lease, "stop_ms": times.stop}, "fencing": {"devices": []},
            # Wide: what a busy machine does to a process is not what is tested.
            "heartbeat": {"floor_ms": 100, "agent_floor_ms": 300, "ceiling_ms": 1500}}
        return configuration
    return Shape(watchdog=WATCHDOG, rail=True, more_disks={MAILBOX: MAILBOX_BYTES}, configure=configure)


class SplitWorld(Demonstration):
    """The demonstration's looks at the pair, and the faults of a split."""

    def __init__(self, options, build_folder, times, name="split", shape=None):
        """`shape`: nothing: shape_for() the times."""
        super().__init__(options, World(build_folder, name, shape=shape or shape_for(times)))
        self.times = times

    # --- faults ---

    def part(self):
        self.world.network.part()

    def join(self):
        self.world.network.part(False)

    def set_mailbox(self, node, reachable):
        disks.set_reachable(self.machines[node].devices[MAILBOX], reachable)

    # --- looking ---

    def prepare_mailbox(self):
        done = self.machines[NODES[0]].execute("hapair", "mailbox", "init", f"/run/disks/{MAILBOX}")
        if done.returncode != 0:
            raise WorldError(f"hapair mailbox init: {done.stderr.strip()}")
        return done.stdout.strip()

    def pools(self, node):
        return {pool["name"]: pool for pool in (self.ask(node, "status") or {}).get("pools", [])}

    def verdict(self, node):
        return (self.ask(node, "status") or {}).get("partner_status", {}).get("verdict")

    def under_leases(self):
        """Each pool at home and leased, and the partner may wait for the end of that."""
        for node in NODES:
            pools = self.pools(node)
            home, away = f"pool-{node[0]}", f"pool-{partner_of(node)[0]}"
            if not pools or not pools[home].get("leased") or pools[home]["state"] != "serving" or not pools[away].get("armed"):
                return False
        return True

    def records_since(self, node, since_ns):
        return [record for record in self.records(node) if record["when_ns"] >= since_ns]

    def changes_since(self, since_ns, pool=None):
        return [change for change in self.world.watcher.changes()
                if change["when_ns"] >= since_ns and pool in (None, change["pool"])]

    def verify_so_far(self, pool):
        """Reads back what was acknowledged up to now, while the client goes on; its result."""
        client = self.world.clients[pool]
        ledger = self.world.layout.client(client.pool, "ledger")
        whole = HEAD_BYTES + (os.path.getsize(ledger) - HEAD_BYTES) // RECORD_BYTES * RECORD_BYTES
        snapshot = f"{ledger}.so-far"
        with open(ledger, "rb") as source, open(snapshot, "wb") as target:
            target.write(source.read(whole))
        return client.verify(snapshot)
