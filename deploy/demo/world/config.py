"""The configuration of both nodes: the file that an operator would write, one for each node."""

import json
import os

from .layout import ADDRESSES, NETWORK_BITS, POOLS, partner_of

SECRET_BYTES = 64


def resources_of(pool):
    """In this order a client never reaches half a service: its address comes last. The file system and the target do
    not depend on each other and start at once."""
    return [
        {"name": "fs", "type": "ocf:heartbeat:Filesystem", "after": [],
         "parameters": {"device": f"/run/disks/{pool.name}", "directory": pool.directory, "fstype": pool.filesystem,
                        "run_fsck": "no", "force_unmount": "safe"}},
        {"name": "target", "type": "ocf:heartbeat:iSCSITarget", "after": [],
         "parameters": {"implementation": "tgt", "iqn": pool.iqn, "tid": str(pool.tid), "allowed_initiators": "ALL"}},
        {"name": "lun", "type": "ocf:heartbeat:iSCSILogicalUnit", "after": ["fs", "target"],
         "parameters": {"implementation": "tgt", "target_iqn": pool.iqn, "lun": "1", "path": pool.backing,
                        "scsi_id": pool.name, "scsi_sn": pool.name, "tgt_bstype": "rdwr"}},
        {"name": "address", "type": "ocf:heartbeat:IPaddr2", "after": ["lun"],
         "parameters": {"ip": pool.address, "cidr_netmask": str(NETWORK_BITS), "nic": "eth0", "arp_interval": "200",
                        "arp_count": "5", "arp_bg": "true"}},
    ]


def node_config(node, giveback_stable_ms):
    partner = partner_of(node)
    return {
        "pair": "demo",
        "node": node,
        "partner": partner,
        "key_file": "/etc/hapair/pair.key",
        "run_dir": "/run/hapair",
        "boot_id_file": "/run/boot-id",
        "ccm": {"rails": [{"name": "shm", "fabric": "shm"}],
                "networks": [{"name": "lan", "address": ADDRESSES[node], "partner_address": ADDRESSES[partner]}]},
        "state_dir": "/var/lib/hapair",
        "arbiter": "none",
        "fencing": {"devices": [{"name": "power", "agent": "/usr/local/sbin/fence_demo", "options": {"plug": partner},
                                 "action": "off", "timeout_ms": 20000}]},
        "takeover": {"automatic": True},
        "giveback": {"automatic": True, "stable_ms": giveback_stable_ms},
        "pools": [{"name": pool.name, "home": pool.home, "resources": resources_of(pool)} for pool in POOLS],
    }


def write_configs(layout, nodes, giveback_stable_ms, configure):
    secret = os.urandom(SECRET_BYTES)
    for node in nodes:
        folder = layout.node(node, "etc/hapair")
        with open(f"{folder}/hapair.json", "w", encoding="utf-8") as file:
            json.dump(configure(node, node_config(node, giveback_stable_ms)), file, indent=2)
            file.write("\n")
        fd = os.open(f"{folder}/pair.key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secret)
