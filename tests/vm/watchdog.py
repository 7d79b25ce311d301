"""The hardware watchdog that ccmd holds, in machines that may be reset: QEMU's i6300esb, under Debian's driver of it. What
resets a node and what does not, and how long that takes from the fault on."""

import concurrent.futures
import json
import os
import socket
import threading
import time

from machine import NODES, Machine, MachineError

TIMEOUT_S = 3
BOUND_S = 2 * TIMEOUT_S + 1  # ccm/wire/watchdog_layout.h
LEAD_MS = 3000               # how far ahead of itself a client sets its time
NOISE_S = 3                  # the host may be busy: only to tell a reset from none
EARLY_S = 0.5  # between two clocks
QUIET_S = 3 * TIMEOUT_S
PACE_MS = 20
PROGRAMS = ("ccmd", "hapair", "watchdog_client")
SOCKET = "/run/hapair/ccm.sock"


class WatchedMachine(Machine):
    def more_hardware(self):
        return ["-device", "i6300esb", "-action", "watchdog=reset"]


class Resets:
    """What the machine's own watchdog does, or another event, as QEMU tells it while this is open."""

    def __init__(self, machine, event="WATCHDOG"):
        self.event = event
        self.link = socket.socket(socket.AF_UNIX)
        self.link.connect(machine.path("qmp"))
        self.link.sendall(b'{"execute": "qmp_capabilities"}\n')
        self.times = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.link.makefile("r"):
            if json.loads(line).get("event") == self.event:
                self.times.append(time.monotonic())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.link.close()

    def wait(self, within_s):
        """When it came; nothing where it did not."""
        until = time.monotonic() + within_s
        while not self.times and time.monotonic() < until:
            time.sleep(0.01)
        return self.times[0] if self.times else None


class Node:
    """One machine with its ccmd, which needs no partner for this."""

    def __init__(self, machine):
        self.machine = machine
        self.problems = []
        self.seen = 0

    def show(self, text):
        print(f"{self.machine.node}: {text}", flush=True)

    def configure(self):
        other = NODES[1 - NODES.index(self.machine.node)]
        configuration = {"pair": "watched", "node": self.machine.node, "partner": other, "key_file": "/root/pair.key",
                         "ccm": {"pace_ms": PACE_MS, "rails": [{"name": "shm", "fabric": "shm", "dir": "/dev/shm/hapair"}],
                                 "watchdog": {"device": "/dev/watchdog0", "timeout_ms": TIMEOUT_S * 1000}}}
        self.machine.put("/root/hapair.json", json.dumps(configuration).encode())
        self.machine.put("/root/pair.key", os.urandom(32))
        self.machine.must("modprobe i6300esb; mkdir -p /run /etc/hapair; ln -sf /root/hapair.json /etc/hapair/hapair.json")

    def start_ccmd(self, armed=True):
        self.machine.must(f"rm -f {SOCKET}; setsid ccmd --config /root/hapair.json --phase root >> /tmp/ccmd.log 2>&1 < /dev/null & "
                          f"until [ -S {SOCKET} ]; do sleep 0.05; done")
        if armed:
            self.wait(lambda: self.watchdog()["state"] == "armed", "the watchdog is armed")

    def start(self):
        self.configure()
        self.start_ccmd()

    def start_again(self):
        """After a reset: the kernel comes up by itself, with nothing of before in its memory."""
        self.machine.control = None
        self.machine.wait_ready()
        self.start()

    def watchdog(self):
        status, shown = self.machine.run("hapair rails --json", 30)
        return json.loads(shown)["watchdog"] if status == 0 else {"state": shown}

    def wait(self, condition, what):
        until = time.monotonic() + 60
        while not (found := condition()):
            if time.monotonic() > until:
                raise MachineError(f"{self.machine.node}: waited in vain until {what}; {self.machine.run('tail -n 20 /tmp/ccmd.log')[1]}")
            time.sleep(0.1)
        return found

    def start_client(self, name):
        self.machine.must(f"setsid watchdog_client {SOCKET} {name} {LEAD_MS} > /tmp/{name} 2>&1 < /dev/null & echo $! > /tmp/{name}.pid")
        said = self.wait(lambda: self.machine.run(f"cat /tmp/{name}")[1].strip(), f"client {name} has a time")
        if said != f"guarded-bound-ms {BOUND_S * 1000}":
            self.problems.append(f"client {name} was told: {said}")

    def tell_client(self, name, signal):
        self.machine.must(f"kill -{signal} $(cat /tmp/{name}.pid)")

    def client_time(self, name):
        """When the time of a client that hangs passes, on the host's clock."""
        offset_ms, _ = self.machine.clock_ms()
        shown = self.wait(lambda: [line for line in self.machine.run(f"cat /tmp/{name}")[1].splitlines() if line.startswith("hangs")],
                          f"client {name} hangs")
        return (float(shown[0].split()[1]) - offset_ms) / 1000

    def expect_reset(self, resets, what, since, bound_s):
        """`since`: when the fault was, or the time of the client passed."""
        came = resets.wait(since - time.monotonic() + bound_s + NOISE_S)
        if came is None:
            self.problems.append(f"{what}: not reset within {bound_s} s")
            self.show(f"{what}: NOT RESET within {bound_s} s; {self.machine.run('tail -n 20 /tmp/ccmd.log')[1]}")
            raise MachineError("what comes next needs a machine that was reset")
        self.show(f"{what}: reset after {came - since:.2f} s (bound {bound_s} s)")
        self.seen += 1
        if came < since - EARLY_S:
            self.problems.append(f"{what}: reset {since - came:.2f} s too early: nobody fed it")

    def expect_none(self, resets, what, within_s=QUIET_S):
        came = resets.wait(within_s)
        self.seen += 1
        self.show(f"{what}: {'NO RESET' if came is None else 'RESET'} within {within_s} s")
        if came is not None:
            self.problems.append(f"{what}: reset")
            raise MachineError("what comes next needs a machine that was not reset")

    # ---- the cases

    def ccmd_stands_still(self):
        self.start_client("server")
        with Resets(self.machine) as resets:
            self.machine.forget_console()
            since = time.monotonic()
            self.machine.must("kill -STOP $(pidof ccmd)")
            self.expect_reset(resets, "ccmd is stopped (SIGSTOP)", since, TIMEOUT_S)

    def time_passes(self):
        self.start_client("server")
        with Resets(self.machine) as resets:
            self.machine.forget_console()
            self.tell_client("server", "USR1")
            since = self.client_time("server")
            self.expect_reset(resets, "the client hangs and its time passes", since, TIMEOUT_S)

    def ccmd_dies_after_the_time(self):
        """The kernel feeds once more when it closes the dead process's descriptor; the next ccmd must not."""
        self.start_client("server")
        with Resets(self.machine) as resets:
            self.machine.forget_console()
            self.tell_client("server", "USR1")
            since = self.client_time("server")
            time.sleep(max(0.0, since + TIMEOUT_S / 2 - time.monotonic()))
            self.machine.must("kill -KILL $(pidof ccmd); while pidof ccmd; do sleep 0.05; done")
            self.show(f"ccmd was killed {time.monotonic() - since:.2f} s after the client's time passed, and started again")
            self.start_ccmd(armed=False)
            self.expect_reset(resets, "ccmd dies after the client's time has passed, and comes back", since, BOUND_S)

    def clients_in_order(self):
        self.start_client("clears")
        self.start_client("returns")
        with Resets(self.machine) as resets:
            self.tell_client("clears", "USR2")
            self.wait(lambda: "stopped 1" in self.machine.run("cat /tmp/clears")[1], "the all-clear is taken")
            self.tell_client("clears", "KILL")
            self.tell_client("returns", "KILL")
            self.start_client("returns")
            self.expect_none(resets, "one client says that it has stopped all and is gone; another was killed, is back and moves its time on")
        watchdog = self.watchdog()
        if watchdog["fed_for"] != "returns" or watchdog["state"] != "armed":
            self.problems.append(f"the time of the client that is back should stand: {watchdog}")
        self.tell_client("returns", "USR2")
        self.wait(lambda: "stopped 1" in self.machine.run("cat /tmp/returns")[1], "the all-clear is taken")

    def ccmd_ends(self):
        with Resets(self.machine) as resets:
            self.machine.must("kill -TERM $(pidof ccmd); while pidof ccmd; do sleep 0.05; done")
            self.expect_none(resets, "ccmd ends as asked, no client has a time")
        self.start_ccmd()

    def time_outlives_ccmd(self):
        self.start_client("server")
        with Resets(self.machine) as resets:
            self.tell_client("server", "USR1")
            since = self.client_time("server")
            self.tell_client("server", "KILL")
            self.machine.must("kill -KILL $(pidof ccmd); while pidof ccmd; do sleep 0.05; done")
            self.start_ccmd(armed=False)
            self.show(f"client and ccmd were killed, ccmd was back {since - time.monotonic():.2f} s before the client's time")
            self.expect_reset(resets, "the client is dead, ccmd was restarted, and the time passes", since, TIMEOUT_S)


def resets_of(node):
    node.start()
    node.ccmd_stands_still()
    node.start_again()
    node.time_passes()
    node.start_again()
    node.ccmd_dies_after_the_time()


def no_resets_of(node):
    node.start()
    node.clients_in_order()
    node.ccmd_ends()
    node.time_outlives_ccmd()


def scenario(lab, built, preset):
    """Exit status: 0 only if each fault, and nothing else, got its node reset."""
    began = time.monotonic()
    lab.machines = {node: WatchedMachine(lab.folder, node) for node in NODES}
    _, booted = lab.up(("none", "none"), built(preset, *PROGRAMS))
    print(f"two machines with an i6300esb, up in {booted:.1f} s; time-out {TIMEOUT_S} s, a client's time {LEAD_MS} ms ahead", flush=True)
    nodes = [Node(machine) for machine in lab.machines.values()]
    with concurrent.futures.ThreadPoolExecutor() as both:
        ends = [both.submit(cases, node) for cases, node in zip((resets_of, no_resets_of), nodes)]
    problems = [problem for node in nodes for problem in node.problems]
    for end in ends:
        if (error := end.exception()) is not None:
            if not isinstance(error, (MachineError, OSError)):
                raise error
            problems.append(str(error))
    for problem in problems:
        print(f"NOT AS EXPECTED: {problem}", flush=True)
    print(f"{sum(node.seen for node in nodes)} cases, {len(problems)} surprises, {time.monotonic() - began:.0f} s", flush=True)
    if problems:
        raise MachineError("the watchdog did not do what it should")
    return 0
