"""hapair's user-space iWARP in alpha, the Linux kernel's soft-iWARP (siw) under hapair's verbs in beta: each is the other's
partner. Handshake, session and a mirror in both directions; and all their frames, taken off the link by QEMU and dissected by
tshark."""

import collections
import os
import subprocess
import time

from machine import NODES, MachineError
from pair import Pair
from verbs_faults import check_steps, show, show_steps

FABRICS = {"alpha": "iwarp", "beta": "verbs"}
# Dissectors that take a SEND for something of theirs.
TSHARK = ["tshark", "--disable-protocol", "rpcordma", "--disable-protocol", "smb_direct"]
OPCODES = {0: "Write", 1: "Read Request", 2: "Read Response", 3: "Send", 4: "Send with Invalidate", 7: "Terminate"}


def tshark(capture, *words):
    return subprocess.run([*TSHARK, "-r", capture, *words], check=True, capture_output=True, text=True,
                          env={**os.environ, "HOME": "/tmp"}).stdout


def dissect(capture):
    """What tshark says of the frames; what was not as expected."""
    malformed = tshark(capture, "-Y", "_ws.malformed", "-T", "fields", "-e", "frame.number").split()
    fields = tshark(capture, "-Y", "iwarp_ddp_rdmap", "-T", "fields", "-e", "ip.src", "-e", "iwarp_rdma.opcode").splitlines()
    counts = {f"10.9.0.{i + 1}": collections.Counter() for i in range(len(NODES))}
    for line in fields:
        source, opcodes = line.split("\t")
        counts[source].update(int(opcode, 0) for opcode in opcodes.split(","))
    handshakes = [len(tshark(capture, "-Y", f"iwarp_mpa.{kind}", "-T", "fields", "-e", "frame.number").split()) for kind in ("req", "rep")]
    show(f"tshark: {handshakes[0]} MPA requests, {handshakes[1]} replies; {len(malformed)} malformed frames")
    problems = [f"{len(malformed)} malformed frames: {malformed[:10]}"] if malformed else []
    if min(handshakes) < 2:
        problems.append("no MPA request and reply in each direction")
    for node, (source, seen) in zip(NODES, counts.items()):
        show(f"  from {node} ({'user space' if node == 'alpha' else 'siw'}): "
             + ", ".join(f"{count} {OPCODES.get(opcode, opcode)}" for opcode, count in sorted(seen.items())))
        for opcode in (0, 1, 2, 3):
            if not seen[opcode]:
                problems.append(f"no {OPCODES[opcode]} from {source}")
    return problems


def scenario(lab, built, preset, keep):
    """Exit status: 0 only if all of it was as expected."""
    began = time.monotonic()
    _, booted = lab.up(("none", "siw"), built(preset, "ccmd", "hapair", "mirror"))
    show(f"alpha with user-space iWARP, beta with the kernel's soft-iWARP, up in {booted:.1f} s")
    capture = keep or os.path.join(lab.folder, "link.pcap")
    lab.machines["alpha"].capture(0, os.path.abspath(capture))
    pair = Pair(lab, FABRICS)
    for node in NODES:
        pair.configure(node)
    for node in NODES:
        pair.start_ccmd(node)
    for node in NODES:
        pair.wait(lambda n=node: pair.rail_is_connected(n), f"{node} is connected")
    problems = []
    for node in NODES:
        problems += check_steps(show_steps(pair, node))
    for sender in NODES:
        shown, unexpected = pair.mirror(sender)
        show(shown)
        problems += unexpected
    for node in NODES:
        show(f"hapair rails on {node}:")
        show(lab.machines[node].must("hapair rails"))
        if pair.rail(node)["sessions"] != 1:
            problems.append(f"the early channel of {node} did not stay up: {pair.rail(node)}")
    lab.machines["alpha"].end_capture(0)
    problems += dissect(capture)
    for problem in problems:
        show(f"NOT AS EXPECTED: {problem}")
    show(f"{len(problems)} surprises, {time.monotonic() - began:.0f} s")
    if problems:
        raise MachineError("user-space iWARP and soft-iWARP did not do all of it together")
    return 0
