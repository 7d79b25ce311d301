"""Figures of the early channel over soft-RoCE, each beside a tool of rdma-core or perftest in the same two machines."""

import statistics
import time

from machine import MachineError
from pair import PROGRAMS, Pair

PAGE = 4096
WANTED_RATIO = 1.5


def figures_of(values):
    return f"min {min(values):.1f}  median {statistics.median(values):.1f}  max {max(values):.1f}"


def until_it_listens(machine, client):
    """What the client printed. Its server does not say when it listens, and a refused client does not try again."""
    for _ in range(20):
        status, shown = machine.run(client, 120)
        if status == 0:
            return shown
        time.sleep(0.5)
    raise MachineError(f"{client} ended with {status}:\n{shown}")


def ib_read_lat(lab, count):
    """Minimum, median and maximum in microseconds: its own words for them are t_min, t_typical and t_max."""
    alpha, beta = lab.machines.values()
    options = f"-d rxe0 -R -F -s {PAGE} -n {count}"
    beta.must(f"ib_read_lat {options} > /tmp/ib_read_lat 2>&1 &")
    shown = until_it_listens(alpha, f"ib_read_lat {options} 10.9.0.2")
    row = next((line.split() for line in shown.splitlines() if line.split()[:1] == [str(PAGE)]), None)
    if row is None:
        raise MachineError(f"ib_read_lat printed no row for {PAGE} bytes:\n{shown}")
    return float(row[2]), float(row[4]), float(row[3])


def own_read(lab, count):
    least, median, most = lab.machines["alpha"].must(f"verbs_read read 10.9.0.1 10.9.0.2 {count}", 120).split()
    return float(least), float(median), float(most)


def reads(lab, rounds, count):
    """True where the ratio is as wanted. By turns, so that a busy host disturbs both alike."""
    lab.machines["beta"].must("verbs_read serve 10.9.0.2 10.9.0.1 > /tmp/serve 2>&1 & "
                              "until grep -q serves /tmp/serve; do sleep 0.1; done", 20)
    own, peers = [], []
    for _ in range(rounds):
        own.append(own_read(lab, count))
        peers.append(ib_read_lat(lab, count))
    lab.machines["beta"].must("kill $(pidof verbs_read)")
    for name, rows in (("one-sided read of the status page", own), (f"ib_read_lat, {PAGE} bytes", peers)):
        print(f"{name:<36}min {min(r[0] for r in rows):.1f}  median {statistics.median(r[1] for r in rows):.1f}  "
              f"max {max(r[2] for r in rows):.1f} us  n={rounds} x {count}")
    ratio = statistics.median(one[1] / peer[1] for one, peer in zip(own, peers))
    print(f"{'ratio of the medians':<36}{ratio:.2f} (wanted: at most {WANTED_RATIO})", flush=True)
    return ratio <= WANTED_RATIO


def handshakes(lab, rounds):
    alpha, beta = lab.machines.values()
    pair = Pair(lab)
    for node in lab.machines:
        pair.configure(node)
    pair.start_ccmd("alpha")
    own, peers = [], []
    for number in range(1, rounds + 1):
        pair.start_ccmd("beta")
        rail = pair.wait(lambda n=number: next((r for r in [pair.rail("alpha")]
                                                if r["handshake"] == "connected" and r["sessions"] == n), None), "connected")
        own.append(rail["connected_in_us"] / 1000)
        beta.must("kill -KILL $(pidof ccmd); rm -f /run/hapair/ccm.sock")
        pair.wait(lambda: pair.rail("alpha")["handshake"] != "connected", "alpha has lost its partner")
        beta.must("rping -s -a 10.9.0.2 -C 1 > /tmp/rping 2>&1 &")
        stamps = until_it_listens(alpha, "/usr/bin/date +%s%N; rping -c -a 10.9.0.2 -C 1 > /tmp/rping 2>&1 || "
                                         "grep -q DISCONNECT /tmp/rping && /usr/bin/date +%s%N").split()
        peers.append((int(stamps[1]) - int(stamps[0])) / 1e6)
    print(f"{'handshake, both pages readable to connected':<46}{figures_of(own)} ms  n={rounds}")
    print(f"{'rping, one round: program, connection, ping':<46}{figures_of(peers)} ms  n={rounds}", flush=True)


def measure(lab, built, preset, rounds, count):
    """Exit status: 0 where the ratio of the reads is as wanted."""
    lab.up(("rxe", "rxe"), built(preset, "verbs_read", *PROGRAMS))
    good = reads(lab, rounds, count)
    handshakes(lab, rounds)
    return 0 if good else 1
