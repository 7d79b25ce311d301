"""The faults that the demonstration can make, and what each must lead to."""

import dataclasses
import signal

from .layout import WorldError, now_ns

VICTIM, SURVIVOR = "alpha", "beta"
POOL = "pool-a"  # the victim's


@dataclasses.dataclass(frozen=True)
class Fault:
    what: str         # for people: what happens
    verdict: str      # what the survivor must come to say
    permit: str       # what the takeover must rest on; empty: no takeover is due, and none may happen
    boots_again: bool = False  # the operator switches the victim on again
    watch_s: float = 0  # where no takeover is due: how long to see that none happens

    @property
    def takeover_due(self):
        return bool(self.permit)


FAULTS = {
    "crash": Fault(f"the power of {VICTIM} fails", "unreachable", "fenced", boots_again=True),
    "hang": Fault(f"every process of {VICTIM} stops; its memory and its network still answer", "hung", "fenced",
                  boots_again=True),
    "agent-kill": Fault(f"hapaird on {VICTIM} is killed (SIGKILL)", "agent-hung", "", watch_s=5),
    "agent-hang": Fault(f"hapaird on {VICTIM} stops (SIGSTOP)", "agent-hung", "", watch_s=8),
    "ccm-kill": Fault(f"ccmd on {VICTIM} is killed (SIGKILL)", "ccm-gone", "", watch_s=5),
    "reboot": Fault(f"{VICTIM} is rebooted in order", "rebooted", "released"),
    "planned": Fault(f"an operator takes {POOL} over on {SURVIVOR}", "alive", "released"),
}
# A CCM that is back within the detection limit shows only that it is another one.
ALSO_RIGHT = {"ccm-kill": ("ccm-restarted",)}


def inject(name, machines):
    """Makes the fault; returns when it began (CLOCK_BOOTTIME, ns)."""
    victim, survivor = machines[VICTIM], machines[SURVIVOR]
    if name == "crash":
        return victim.cut_power()
    if name == "hang":
        return victim.freeze()
    if name == "agent-kill":
        return victim.signal_program("hapaird", signal.SIGKILL)
    if name == "agent-hang":
        return victim.signal_program("hapaird", signal.SIGSTOP)
    if name == "ccm-kill":
        return victim.signal_program("ccmd", signal.SIGKILL)
    began_ns = now_ns()
    if name == "reboot":
        victim.shut_down(reboot=True)
        return began_ns
    if name == "planned":
        done = survivor.execute("hapair", "takeover", POOL, timeout=30)
        if done.returncode != 0:
            raise WorldError(f"hapair takeover {POOL} on {SURVIVOR} was refused: {(done.stdout + done.stderr).strip()}")
        return began_ns
    raise WorldError(f"there is no fault \"{name}\"")
