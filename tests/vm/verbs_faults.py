"""What a pair over real verbs makes of each fault of its partner: alpha looks, beta suffers. All times are alpha's own
clock (CLOCK_BOOTTIME, on which ccmd and hapaird count); the moment of a fault is the host's, taken just before it is
ordered and translated to that clock, with the error that this may have."""

import time
from dataclasses import dataclass
from typing import Callable

from machine import MachineError
from pair import DEADLINE_MS, FLOOR_MS, PACE_MS, PROGRAMS, RETRY_MS, Pair


@dataclass
class Fault:
    name: str
    verdict: str
    inflict: Callable
    mend: Callable
    errors: tuple  # which of the fabric's may be the first; empty: none may come
    takeover: bool = False  # the partner is off: the fence agent confirms it, and its pool is taken over


def stop_everything(pair):
    pair.machines["beta"].must("kill -STOP $(pidof ccmd) $(pidof hapaird)")


def continue_everything(pair):
    pair.machines["beta"].must("kill -CONT $(pidof ccmd) $(pidof hapaird)")


def kill_ccmd(pair):
    pair.machines["beta"].must("kill -KILL $(pidof ccmd)")


def cut_link(pair):
    pair.machines["beta"].fault("link-cut")


def heal_link(pair):
    pair.machines["beta"].fault("link-heal")


def power_off(pair):
    pair.machines["beta"].fault("power-off")


def panic(pair):
    pair.machines["beta"].fault("panic")


def boot_again(pair):
    if pair.machines["beta"].pid() is not None:
        pair.machines["beta"].power_off()
    pair.machines["beta"].power_on(owned=True)
    pair.configure("beta")
    pair.power("alpha", "on")
    pair.start("beta")


SILENCE = ("retry-exceeded", "disconnected", "deadline")
FAULTS = (
    Fault("SIGSTOP of everything in the partner", "hung", stop_everything, continue_everything, ()),
    Fault("SIGKILL of the partner's ccmd", "ccm-gone", kill_ccmd, lambda pair: pair.start_ccmd("beta"),
          ("disconnected", "not-listening", "retry-exceeded")),
    Fault("the partner's link cut", "unreachable", cut_link, heal_link, SILENCE),
    Fault("the partner's power off", "unreachable", power_off, boot_again, SILENCE, takeover=True),
    Fault("the partner's kernel panics", "unreachable", panic, boot_again, SILENCE, takeover=True),
)


def show(text):
    print(text, flush=True)


def show_steps(pair, node):
    """The operations of the first handshake that came through, as that node's ccmd told them."""
    lines = pair.trace(node)
    first = max((i for i, line in enumerate(lines) if line.text.startswith("connect to")
                 and any("connected: done" in later.text for later in lines[i:i + 2])), default=0)
    shown = lines[first:first + 14]
    began = shown[0].when_ms
    show(f"the four steps as {node} took them (ms after it began to connect):")
    for line in shown:
        show(f"  {line.when_ms - began:8.2f}  {line.text}")
    return shown


def check_steps(shown):
    text = "\n".join(line.text for line in shown)
    problems = []
    for part in ("connected: done", "read  0x484100000000+0 (status page), 4096 bytes: done", "write 0x484100010000+"):
        if part not in text:
            problems.append(f"no \"{part}\" in the first steps")
    return problems


def beats(pair, node, since_ms):
    return [int(line.text.rsplit("beat ", 1)[1]) for line in pair.trace(node, since_ms) if ", beat " in line.text]


def suffer(pair, fault):
    """One fault, from a pair that is well until it is again. What was not as expected."""
    pair.wait_well()
    if fault.takeover:
        pair.power("alpha", "falling")
    offset_ms, blur_ms = pair.clock_ms("alpha")
    at_ms = time.monotonic() * 1000 + offset_ms
    fault.inflict(pair)

    def verdicts():
        return [record for record in pair.records("alpha", at_ms) if record["kind"] == "verdict"]

    record = pair.wait(lambda: next((r for r in verdicts() if r["fields"]["verdict"] == fault.verdict), None),
                       f"alpha's verdict is {fault.verdict}")
    verdict_ms = record["when_ns"] / 1e6
    before = [r["fields"]["verdict"] for r in verdicts() if r["when_ns"] < record["when_ns"]]
    trace = pair.trace("alpha", at_ms)
    failed = next((line for line in trace if line.error), None)
    show(f"{fault.name}:")
    if failed:
        show(f"  {failed.when_ms - at_ms:8.1f} ms  fabric: {failed.text}")
    show(f"  {verdict_ms - at_ms:8.1f} ms  verdict {record['fields']['verdict']} (+- {blur_ms:.0f} ms): {record['text']}")
    problems = []
    if before:
        problems.append(f"first another verdict: {', '.join(before)}")
    if fault.errors and (failed is None or failed.error not in fault.errors):
        problems.append(f"the fabric's error is {failed.error if failed else 'missing'}, not one of {', '.join(fault.errors)}")
    if not fault.errors:
        problems += check_frozen(pair, verdict_ms, failed)
    if fault.takeover:
        pair.power("alpha", "off")
        taken = pair.wait(lambda: next((r for r in pair.records("alpha", at_ms) if r["kind"] == "pool-serving"), None),
                          "alpha serves pool-b")
        show(f"  {taken['when_ns'] / 1e6 - at_ms:8.1f} ms  (the fence agent was told that the power is off) {taken['text']}")
    fault.mend(pair)
    pair.wait_well()
    return [f"{fault.name}: {problem}" for problem in problems]


def check_frozen(pair, verdict_ms, failed):
    """A partner that is stopped: its memory goes on answering, and what stands in it stands."""
    time.sleep(0.5)
    seen = beats(pair, "alpha", verdict_ms)
    show(f"             its page was read {len(seen)} times more in the next half second, always at beat {seen[-1] if seen else '?'}")
    if failed or len(seen) < 3 or len(set(seen)) != 1:
        return [f"its page should be readable and stand; error {failed.text if failed else 'none'}, beats {seen}"]
    return []


def scenario(lab, built, preset):
    """Exit status: 0 only if every verdict was the expected one."""
    began = time.monotonic()
    _, booted = lab.up(("rxe", "rxe"), built(preset, *PROGRAMS, "mirror"))
    show(f"two machines with soft-RoCE, up in {booted:.1f} s; pace {PACE_MS} ms, retry {RETRY_MS} ms, deadline {DEADLINE_MS} ms, "
         f"floor {FLOOR_MS} ms")
    pair = Pair(lab)
    for node in lab.machines:
        pair.configure(node)
    for node in lab.machines:
        pair.start_ccmd(node)
    for node in lab.machines:
        pair.wait(lambda n=node: pair.rail_is_connected(n), f"{node} is connected")
    problems = []
    for node in lab.machines:
        problems += check_steps(show_steps(pair, node))
    show(f"connected; alpha's beats as beta read them: {beats(pair, 'beta', 0)[-6:]}")
    for node in lab.machines:
        shown, unexpected = pair.mirror(node)
        show(shown)
        problems += unexpected
    show(lab.machines["alpha"].must("grep -E 'session with|port 0 of client mirror is ready' /tmp/ccmd.log | cut -c4-"))
    for node in lab.machines:
        pair.start_agent(node)
    pair.wait_well()
    show(f"both agents run and see each other alive, {time.monotonic() - began:.1f} s after the start")
    for fault in FAULTS:
        problems += suffer(pair, fault)
    for problem in problems:
        show(f"NOT AS EXPECTED: {problem}")
    show(f"{len(FAULTS)} faults, {len(problems)} surprises, {time.monotonic() - began:.0f} s")
    if not problems:
        return 0
    raise MachineError("not every verdict was the expected one")
