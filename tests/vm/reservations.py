"""SCSI-3 persistent reservations, in three machines: alpha and beta are a whole pair, and gamma has the disk of each pool (the
kernel's iSCSI target) and the clients. alpha is cut off from beta, and from nothing else: it still reaches its disk, and its
clients still reach it. beta must preempt it, and from then on the disk refuses what alpha writes."""

import json
import os
import time

from laboratory import Lab
from machine import NODES, Machine, MachineError
from pair import HERE, Pair

STORE = "gamma"
STORE_ADDRESS, SECOND_ADDRESS = "10.9.1.3", "10.9.1.4"
POOLS = {"pool-a": ("alpha", 7001), "pool-b": ("beta", 7002)}  # home, and where its records are served
PROGRAMS = ("ccmd", "hapaird", "hapair", "hapair-reserve", "record_keeper")
TOOLS = ("/usr/sbin/iscsistart", "/usr/bin/sg_persist", "/usr/sbin/dmsetup")
MONITOR_MS = 10000
STRANGER = "0xabcdef"


SPARE = "spare"  # of no pool: for what is tried by hand


def disk_of(pool):
    return f"/dev/disk/by-id/{pool}"


def show(text):
    print(text, flush=True)


class StorageMachine(Machine):
    """One of three: alpha and beta with a link between them, each with another to gamma."""
    names = (*NODES, STORE)
    memory_mb = 400

    def links(self):
        return {"alpha": [("beta", 0), (STORE, 0)], "beta": [("alpha", 0), (STORE, 1)],
                STORE: [("alpha", 1), ("beta", 1)]}[self.node]


class StorageLab(Lab):
    more_modules = ("sd_mod", "iscsi_tcp", "target_core_mod", "iscsi_target_mod", "target_core_file", "dm_multipath", "dm_round_robin")

    def __init__(self, folder):
        super().__init__(folder, owned=True)
        self.machines = {node: StorageMachine(folder, node) for node in StorageMachine.names}


class ReservedPair(Pair):
    """A pair whose pools live on reserved disks, and which fences by these."""

    def __init__(self, lab):
        super().__init__(lab, {node: "iwarp" for node in NODES})
        self.store = lab.machines[STORE]

    def configuration(self, node):
        configuration = super().configuration(node)
        # Different on the two nodes, so that they do not preempt each other.
        configuration["fencing"] = {"devices": [{"name": "disks", "type": "scsi", "timeout_ms": 30000,
                                                 "delay_ms": 12000 if node == "alpha" else 0}], "attempts": 1}
        configuration["pools"] = [
            {"name": pool, "home": home, "resources": [
                {"name": "disks", "type": "scsi:reservation", "devices": [disk_of(pool)], "command_timeout_ms": 5000,
                 "monitor_interval_ms": MONITOR_MS, "monitor_timeout_ms": MONITOR_MS},
                {"name": "records", "type": "ocf:heartbeat:records", "parameters": {"device": disk_of(pool), "port": port}}]}
            for pool, (home, port) in POOLS.items()]
        return configuration

    def guest_file(self, machine, name, into):
        with open(os.path.join(HERE, "guest", name), "rb") as file:
            machine.put(into, file.read(), "755")

    def configure(self, node):
        machine = self.machines[node]
        self.guest_file(machine, "records", "/usr/lib/ocf/resource.d/heartbeat/records")
        machine.put("/root/hapair.json", json.dumps(self.configuration(node)).encode())
        machine.put("/root/pair.key", self.key)
        machine.must("mkdir -p /etc/hapair /var/lib/hapair; ln -sf /root/hapair.json /etc/hapair/hapair.json")

    def join_disks(self):
        # Two links and one address: each machine by the port that it is behind.
        self.store.must("ip addr flush dev eth0; ip addr flush dev eth1; "
                        f"ip addr add {STORE_ADDRESS}/32 dev lo; ip addr add {SECOND_ADDRESS}/32 dev lo; "
                        "ip route add 10.9.1.1/32 dev eth0 src 10.9.1.3; ip route add 10.9.1.2/32 dev eth1 src 10.9.1.3")
        names = " ".join((*POOLS, SPARE))
        self.guest_file(self.store, "share_disks", "/usr/bin/share_disks")
        self.store.must(f"share_disks {STORE_ADDRESS},{SECOND_ADDRESS} {names}")
        for node in NODES:
            self.guest_file(self.machines[node], "join_disks", "/usr/bin/join_disks")
            self.machines[node].must(f"join_disks {STORE_ADDRESS} {names}")

    def second_path(self, node):
        """To the spare disk: a session of another port of that node's. The two paths as one multipath device."""
        machine = self.machines[node]
        machine.must(f"iscsistart -i iqn.2026-01.lab:{node}-second -t iqn.2026-01.lab:disks -g 1 -a {SECOND_ADDRESS} -p 3260")
        paths = self.wait(lambda: self.sees_two(machine), f"{node} has two paths to the spare disk")
        sectors, groups = 131072, " ".join(f"{path} 1000" for path in paths)
        machine.must("modprobe -a dm_multipath dm_round_robin; dmsetup create spare2 --noudevsync --uuid mpath-spare --table "
                     f"'0 {sectors} multipath 0 0 1 1 round-robin 0 2 1 {groups}' && dmsetup mknodes")
        return "/dev/mapper/spare2"

    def sees_two(self, machine):
        """Their numbers."""
        shown = machine.run(f"for d in $(grep -l {SPARE} /sys/block/sd*/device/vpd_pg80); do cat ${{d%/device/*}}/dev; done")[1].split()
        return shown if len(shown) == 2 else None

    def reserve(self, node, action, disk):
        """hapair-reserve by hand: exit status and words."""
        status, shown = self.machines[node].run(
            f"hapair-reserve {action} --pair verbs --node {node} --partner {NODES[1 - NODES.index(node)]} --key-file /root/pair.key "
            f"--boot-id-file /proc/sys/kernel/random/boot_id --run-dir /tmp --title by/hand -- {disk}")
        return status, shown.strip()

    # ---- what the disks say, by another program than hapair's

    def registered(self, node, pool):
        """The keys, and the holder's."""
        # Twice: the first command after a preemption is answered with the news of it alone.
        keys_of, reservation_of = (f"sg_persist --in --read-{what} {disk_of(pool)}" for what in ("keys", "reservation"))
        shown = self.machines[node].must(f"{keys_of} > /tmp/keys || {keys_of} > /tmp/keys; cat /tmp/keys; {reservation_of}")
        keys = [line.strip() for line in shown.splitlines() if line.strip().startswith("0x")]
        holder = next((word.removeprefix("Key=") for word in shown.split() if word.startswith("Key=")), None)
        if holder and "Write Exclusive, registrants only" not in shown:
            raise MachineError(f"a reservation of another type: {shown}")
        return keys, holder

    def write_directly(self, node, disk):
        """Past all of hapair: what the kernel says of a write to the disk; empty: the disk has it."""
        status, shown = self.machines[node].run(f"dd if=/dev/zero of={disk} bs=4096 count=1 seek=15000 oflag=direct conv=fsync")
        return "" if status == 0 else shown.strip().splitlines()[0]

    # ---- the clients

    def start_client(self, pool):
        _, port = POOLS[pool]
        self.store.must(f": > /tmp/{pool}.acknowledged; setsid record_keeper write {port} /tmp/{pool}.acknowledged 10.9.1.1 10.9.1.2 > /tmp/{pool}.client 2>&1 "
                        f"< /dev/null & echo $! > /tmp/{pool}.pid")

    def end_client(self, pool):
        self.store.must(f"kill $(cat /tmp/{pool}.pid)")

    def acknowledged(self, pool):
        """Of each node that acknowledged any: how many; and the longest time between two, in milliseconds."""
        counts, gap, last = {}, 0, None
        for line in self.store.must(f"cat /tmp/{pool}.acknowledged").splitlines():
            words = line.split()
            if len(words) != 3:
                continue  # being written
            counts[words[1]] = counts.get(words[1], 0) + 1
            gap = max(gap, int(words[2]) - last) if last else 0
            last = int(words[2])
        return counts, gap

    def verify(self, node, pool):
        """On the disk as that node reads it."""
        self.machines[node].put(f"/tmp/{pool}.acknowledged", self.store.must(f"cat /tmp/{pool}.acknowledged").encode())
        status, shown = self.machines[node].run(f"record_keeper verify {disk_of(pool)} /tmp/{pool}.acknowledged")
        show(f"{pool}, read by {node}: {shown.strip()}")
        return [] if status == 0 else [f"{pool}: {shown.strip()}"]

    # ---- the pair

    def pool_states(self, node):
        shown = self.hapair(node, "status")
        return {pool["name"]: pool["state"] for pool in json.loads(shown)["pools"]} if shown else {}


class Story:
    """What was seen, and what of it was not as expected."""

    def __init__(self, pair):
        self.pair = pair
        self.problems = []
        self.cut_ms = {}  # of each node, on its clock

    def expect(self, told, what):
        if not told:
            self.problems.append(what)
            show(f"NOT AS EXPECTED: {what}")

    def owner_is(self, node, pool):
        keys, holder = self.pair.registered(node, pool)
        show(f"sg_persist on {node}, {pool}: registered {', '.join(keys) or 'nobody'}; reserved by {holder or 'nobody'}")
        self.expect(len(keys) == 1 and holder == keys[0], f"{pool}: one node alone is registered and the holder; found {keys}, {holder}")
        return holder

    def writes(self, node, pool, refused):
        said = self.pair.write_directly(node, disk_of(pool))
        show(f"{node} writes to {pool}'s disk past hapair: {said or 'written'}")
        self.expect(bool(said) == refused, f"{node} writes to {pool}'s disk: {said or 'written'}")

    def taken_in_order(self):
        """Each pool at home, its disk reserved for that node, and for no other."""
        holders = {self.owner_is(home, pool) for pool, (home, _) in POOLS.items()}
        self.expect(len(holders) == 2, "each node has a key of its own")
        self.writes("beta", "pool-a", refused=True)
        self.writes("alpha", "pool-b", refused=True)
        return holders

    def cut(self):
        pair = self.pair
        alpha = pair.machines["alpha"]
        offsets_ms = {node: pair.clock_ms(node)[0] for node in NODES}
        self.cut_ms = {node: time.monotonic() * 1000 + offset_ms for node, offset_ms in offsets_ms.items()}
        alpha.qmp("set_link", name="rail0", up=False)
        show("alpha's link to beta is cut; it reaches its disk, and its client reaches it")
        pair.wait(lambda: pair.pool_states("beta").get("pool-a") == "serving", "beta serves pool-a")
        self.show_records("beta", ("verdict", "fence", "pool-serving"))
        pair.wait(lambda: pair.acknowledged("pool-a")[0].get("beta", 0) > 20, "the client of pool-a writes to beta")

    def show_records(self, node, kinds):
        """Since the cut."""
        for record in self.pair.records(node, self.cut_ms[node]):
            if any(record["kind"].startswith(kind) for kind in kinds):
                show(f"  {node} {record['when_ns'] / 1e6 - self.cut_ms[node]:8.0f} ms  {record['text']}")

    def old_owner(self):
        pair = self.pair
        self.writes("alpha", "pool-a", refused=True)
        conflict = pair.machines["alpha"].run("dmesg | grep -i 'reservation conflict' | tail -n 1")[1].strip()
        show(f"alpha's kernel: {conflict or 'nothing'}")
        self.expect(conflict, "alpha's kernel tells of a reservation conflict")
        refusals = pair.store.must("cat /tmp/pool-a.client").splitlines()
        show(f"its client was refused {len(refusals)} times, {refusals[-1] if refusals else 'never'}")
        pair.wait(lambda: pair.pool_states("alpha").get("pool-a") not in ("serving", "stopping"), "alpha has stopped pool-a")
        pair.wait(lambda: self.told("alpha", "itself preempted"), "alpha's own fence of beta is refused")
        self.show_records("alpha", ("verdict", "fence", "resource", "pool"))
        self.expect(self.told("alpha", "this node is not registered; the disk is reserved under beta's key"),
                    "alpha's records tell of the lost reservation")
        self.owner_is("beta", "pool-a")
        self.owner_is("beta", "pool-b")
        self.expect(pair.pool_states("beta") == {"pool-a": "serving", "pool-b": "serving"}, f"beta serves both: {pair.pool_states('beta')}")

    def told(self, node, words):
        return any(words in record["text"] for record in self.pair.records(node, self.cut_ms[node]))

    def heal(self):
        """Pool-a failed at home, so it comes back when an operator says there that the cause is gone."""
        pair = self.pair
        pair.machines["alpha"].qmp("set_link", name="rail0", up=True)
        pair.wait(lambda: pair.pool_states("alpha") == {"pool-a": "elsewhere", "pool-b": "elsewhere"}, "alpha knows that beta serves both")
        pair.machines["alpha"].must("hapair takeover pool-a --wait", pair.patience_s)
        pair.wait_well()
        before = pair.acknowledged("pool-a")[0].get("alpha", 0)
        pair.wait(lambda: pair.acknowledged("pool-a")[0].get("alpha", 0) > before + 20, "the client of pool-a writes to alpha again")
        show("the link is there again, and pool-a at home")
        self.taken_in_order()

    def wakes(self):
        """The old owner was only paused: what it does when it wakes, it does on a disk that is not its own."""
        pair = self.pair
        alpha = pair.machines["alpha"]
        before = pair.acknowledged("pool-a")[0].get("beta", 0)
        alpha.fault("freeze")
        pair.wait(lambda: pair.acknowledged("pool-a")[0].get("beta", 0) > before + 20, "beta serves pool-a while alpha stands still")
        alpha.fault("thaw")
        show("alpha stood still until beta served its pool, and goes on")
        self.writes("alpha", "pool-a", refused=True)
        pair.wait(lambda: pair.pool_states("alpha") in ({"pool-a": "elsewhere", "pool-b": "elsewhere"}, {"pool-a": "serving", "pool-b": "elsewhere"}),
                  "alpha knows that it was taken over")
        # Whether it noticed the disk or its partner first decides who says that it may have its pool back.
        alpha.run("hapair takeover pool-a --wait", pair.patience_s)
        pair.wait_well()
        self.taken_in_order()

    def stranger(self):
        """A key that is no node's is left alone, and said."""
        alpha, beta, disk = self.pair.machines["alpha"], self.pair.machines["beta"], disk_of("pool-a")
        beta.must(f"sg_persist --out --register-ignore --param-sark={STRANGER} {disk} || "
                  f"sg_persist --out --register-ignore --param-sark={STRANGER} {disk}")
        status, shown = alpha.run("hapair check")
        refusal = next((line for line in shown.splitlines() if "no node's of pair" in line), "")
        show(f"hapair check on alpha, with a stranger registered (exit status {status}): {refusal}")
        self.expect(status == 78 and refusal, f"hapair check names the stranger's key: {status} {shown}")
        keys, _ = self.pair.registered("alpha", "pool-a")
        self.expect(STRANGER in keys, f"the stranger is still registered: {keys}")
        beta.must(f"sg_persist --out --register --param-rk={STRANGER} --param-sark=0 {disk}")

    def two_paths(self):
        """A multipath device: each path is registered by itself, and preempted with the other."""
        pair = self.pair
        device = pair.second_path("alpha")

        def step(node, action, disk, code, registrations):
            status, said = pair.reserve(node, action, disk)
            keys, holder = pair.registered("beta", SPARE)
            written = "" if action == "monitor" else f"; alpha writes: {pair.write_directly('alpha', device) or 'written'}"
            show(f"hapair-reserve {action} on {node}, {disk}: {status}{' ' + said if said else ''}; registered {', '.join(keys) or 'nobody'}{written}")
            self.expect(status == code and len(keys) == registrations, f"{action} on {node}: {status} instead of {code}, {keys}, {said}")
            self.expect(not keys or holder in keys, f"the holder is registered: {holder}, {keys}")

        step("alpha", "start", device, 0, 2)
        step("alpha", "monitor", device, 0, 2)
        self.expect(not pair.write_directly("alpha", device), "alpha writes over its paths")
        step("beta", "start", disk_of(SPARE), 0, 1)
        self.expect(pair.write_directly("alpha", device), "alpha's writes are refused over both paths")
        step("alpha", "monitor", device, 7, 1)
        step("alpha", "start", device, 0, 2)
        step("alpha", "stop", device, 0, 0)
        pair.machines["alpha"].must("dmsetup remove --noudevsync spare2")
        for disk in ("/dev/null", "/root/pair.key", "/dev/nowhere"):
            status, said = pair.reserve("alpha", "start", disk)
            show(f"hapair-reserve start on alpha, {disk}: {status} {said}")
            self.expect(status == 1 and disk in said, f"{disk} is refused: {status} {said}")


def scenario(lab, built, preset):
    """Exit status: 0 only if the disk let one node write at a time, and nothing acknowledged was lost."""
    began = time.monotonic()
    _, booted = lab.up(("none", "none", "none"), [*built(preset, *PROGRAMS), *TOOLS])
    show(f"three machines, up in {booted:.1f} s")
    pair = ReservedPair(lab)
    story = Story(pair)
    pair.join_disks()
    for node in NODES:
        pair.configure(node)
        status, shown = pair.machines[node].run("hapair check | head -n 2")
        show(f"hapair check on {node}: {shown.strip()}")
        story.expect(status == 0 and "2 reserved disks: this node can take them" in shown, f"hapair check on {node}: {shown}")
    for node in NODES:
        pair.start(node)
    pair.wait_well()
    show(f"each pool is served at home, {time.monotonic() - began:.0f} s after the start")
    story.taken_in_order()
    for pool, (home, _) in POOLS.items():
        pair.start_client(pool)
        pair.wait(lambda p=pool, n=home: pair.acknowledged(p)[0].get(n, 0) > 20, f"the client of {pool} writes")
    story.cut()
    story.old_owner()
    story.heal()
    story.wakes()
    for pool in POOLS:
        pair.end_client(pool)
        counts, gap = pair.acknowledged(pool)
        show(f"{pool}: acknowledged by {', '.join(f'{node} {count}' for node, count in counts.items())}; longest time without one {gap} ms")
        for node in NODES:
            story.problems += pair.verify(node, pool)
    story.expect(set(pair.acknowledged("pool-b")[0]) == {"beta"}, "pool-b's client was served by beta throughout")
    story.stranger()
    story.two_paths()
    show(f"{len(story.problems)} surprises, {time.monotonic() - began:.0f} s")
    if story.problems:
        raise MachineError("the reservations did not do what they should")
    return 0
