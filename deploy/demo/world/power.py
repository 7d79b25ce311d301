"""The power controller: what a BMC or a switched outlet is to a real pair. It lives outside both nodes, does one thing
at a time, and answers "off" only when that is proven."""

import os
import socket
import threading

from .layout import NODES, WorldError, now_ns

ACTIONS = ("on", "off", "reboot", "status", "list", "monitor")


class PowerController:
    """One request a connection, one line: "ACTION [NODE]". The answer is one line: "ok WORD" or "failed REASON"."""

    def __init__(self, layout, machines, on_fenced):
        self.layout = layout
        self.machines = machines
        self.on_fenced = on_fenced  # called with the node's name and the action after its power was cut on request
        self.lock = threading.Lock()
        self.log = []  # of finished requests: a dictionary each
        self.socket = None

    def start(self):
        if os.path.exists(self.layout.power_socket):
            os.unlink(self.layout.power_socket)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.bind(self.layout.power_socket)
        os.chmod(self.layout.power_socket, 0o600)
        self.socket.listen(16)
        threading.Thread(target=self._serve, daemon=True, name="power").start()

    def stop(self):
        if self.socket is not None:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept()
            self.socket.close()
            self.socket = None

    def _serve(self):
        listener = self.socket
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # stop() was called
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            connection.settimeout(5)
            try:
                words = connection.makefile("r", encoding="ascii", errors="replace").readline(256).split()
                answer = self.handle(words[0] if words else "", words[1] if len(words) > 1 else "")
            except (WorldError, OSError) as error:
                answer = f"failed {error}"
            try:
                connection.settimeout(5)
                connection.sendall((answer + "\n").encode())
            except OSError:
                pass  # who asked is gone: its own node may be the one that was switched off

    def handle(self, action, node):
        if action not in ACTIONS:
            return f"failed unknown action \"{action}\"; known are {', '.join(ACTIONS)}"
        if action == "list":
            return "ok " + " ".join(NODES)
        if action == "monitor":
            return "ok on"
        machine = self.machines.get(node)
        if machine is None:
            return f"failed there is no plug \"{node}\"; there are {', '.join(NODES)}"
        if action == "status":
            return "ok on" if machine.is_on else "ok off"
        began_ns = now_ns()
        with self.lock:
            was_on = machine.is_on
            try:
                if action in ("off", "reboot"):
                    machine.cut_power()
                    answer = "ok off"
                if action in ("on", "reboot"):
                    machine.power_on()
                    answer = "ok on"
            except WorldError as error:
                answer = f"failed {error}"
        self.log.append({"action": action, "node": node, "from_ns": began_ns, "to_ns": now_ns(), "answer": answer,
                         "was_on": was_on, "steps": list(machine.last_steps) if was_on else []})
        if action == "off" and answer == "ok off":
            self.on_fenced(node)
        return answer
