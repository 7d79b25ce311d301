"""The two who stand beside the machines: the firmware, which boots a machine that asked for a reboot, and the operator,
who switches a fenced one on again."""

import threading
import time

from .layout import WorldError, now_ns

FIRMWARE_S = 1.0           # from the end of a reboot's shutdown to the next kernel
BOOT_AFTER_POWER_OFF_S = 3.0  # from a proven power-off to the operator's hand on the switch
LOOK_EVERY_S = 0.02


class Keeper:
    def __init__(self, machines, say):
        self.machines = machines
        self.say = say
        self.log = []      # (when_ns, node, text)
        self.due = {}      # node: time.monotonic() of the next power-on
        self.problem = None
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True, name="keeper")

    def start(self):
        self.thread.start()

    def stop(self):
        self.ending = True
        self.thread.join()

    def boot_later(self, node, delay_s=BOOT_AFTER_POWER_OFF_S):
        self.due.setdefault(node, time.monotonic() + delay_s)

    def _note(self, node, text):
        self.log.append((now_ns(), node, text))
        self.say(f"{node}: {text}")

    def _run(self):
        while not self.ending:
            try:
                for node, machine in self.machines.items():
                    self._look_at(node, machine)
            except WorldError as error:
                self.problem = str(error)
                self.say(str(error))
                return
            time.sleep(LOOK_EVERY_S)

    def _look_at(self, node, machine):
        with machine.lock:
            supply = machine.supply
            if supply is not None and supply.poll() is not None:
                status = supply.returncode
                wants_reboot = machine.finish_end()
                self._note(node, "has shut down and reboots" if wants_reboot else
                           "has shut down" if status == 0 else f"its PID 1 ended with status {status}: it is off")
                if wants_reboot:
                    self.boot_later(node, FIRMWARE_S)
            if node in self.due and time.monotonic() >= self.due[node]:
                del self.due[node]
                if not machine.is_on:
                    machine.power_on()
                    self._note(node, "is powered on")
