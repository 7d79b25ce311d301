"""Who looks at the pair from outside: one iSCSI client a pool, and the watcher."""

import json
import os
import signal
import subprocess

from .command import ENVIRONMENT
from .layout import NODES, POOLS, WorldError


class Follower:
    """Reads a growing file of JSON lines, each once."""

    def __init__(self, path):
        self.path = path
        self.offset = 0

    def news(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[:content.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Client:
    def __init__(self, layout, pool, writes_per_second=400, depth=4):
        self.layout = layout
        self.pool = pool
        self.writes_per_second = writes_per_second
        self.depth = depth
        self.process = None
        self.follower = None
        self.events = []

    def _command(self, action, *options):
        return ["nsenter", f"--net={self.layout.netns_path('client')}", "--", f"{self.layout.programs}/hapair-demo-client",
                action, "--portal", self.pool.portal, "--target", self.pool.iqn, "--ledger",
                self.layout.client(self.pool, "ledger"), *options]

    def start(self, *options):
        events = self.layout.client(self.pool, "events")
        with open(events, "wb") as out, open(self.layout.client(self.pool, "stderr"), "wb") as err:
            self.process = subprocess.Popen(
                self._command("load", "--pool", self.pool.name, "--slots", str(self.pool.slots), "--rate",
                              str(self.writes_per_second), "--depth", str(self.depth), *options),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=ENVIRONMENT, start_new_session=True)
        self.follower = Follower(events)
        self.events = []

    def look(self):
        """Reads what it said since the last look; a client that ended by itself is an error of the demonstration."""
        self.events += self.follower.news()
        if self.process.poll() not in (None, 0, 1):
            raise WorldError(f"the client of {self.pool.name} ended with status {self.process.returncode}: {self.said()}")

    def said(self):
        with open(self.layout.client(self.pool, "stderr"), encoding="utf-8", errors="replace") as file:
            return file.read().strip()

    def last(self, event):
        """The newest event of this kind, or nothing."""
        return next((entry for entry in reversed(self.events) if entry["event"] == event), None)

    def acknowledged(self):
        progress = self.last("progress")
        return progress["acknowledged"] if progress else 0

    def last_acknowledged_ns(self):
        progress = self.last("progress")
        return progress["last_acknowledged_ns"] if progress else 0

    def outages_since(self, when_ns):
        return [entry for entry in self.events if entry["event"] == "outage" and entry["to_ns"] >= when_ns]

    def ask_to_finish(self):
        self.process.send_signal(signal.SIGTERM)

    def result(self, patience_s=60):
        """After ask_to_finish(): reads back, and the result."""
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise WorldError(f"the client of {self.pool.name} did not finish reading back within {patience_s} s") from None
        self.look()
        result = self.last("result")
        if result is None:
            raise WorldError(f"the client of {self.pool.name} ended without a result: {self.said()}")
        return result

    def verify(self, ledger=None):
        """Only reads back; the result."""
        command = self._command("verify")
        if ledger:
            command[command.index("--ledger") + 1] = ledger
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=90)
        if not done.stdout:
            raise WorldError(f"the client of {self.pool.name} cannot verify: {done.stderr.strip()}")
        return json.loads(done.stdout.splitlines()[-1])

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Watcher:
    def __init__(self, layout):
        self.layout = layout
        self.process = None

    def start(self):
        spec = {
            "pools": [{"name": pool.name, "image": self.layout.image(pool), "filesystem": pool.filesystem,
                       "address": pool.address, "backing": pool.backing} for pool in POOLS],
            "nodes": [{"name": node, "power_file": self.layout.power_file(node)} for node in NODES],
        }
        with open(self.layout.watch_spec, "w", encoding="utf-8") as file:
            json.dump(spec, file, indent=2)
        with open(self.layout.watch_log, "wb") as out:
            self.process = subprocess.Popen([f"{self.layout.programs}/hapair-demo-watcher", self.layout.watch_spec,
                                             self.layout.watch_result], stdin=subprocess.DEVNULL, stdout=out,
                                            env=ENVIRONMENT, start_new_session=True)

    def changes(self):
        return Follower(self.layout.watch_log).news()

    def finish(self):
        if self.process.poll() is not None:
            raise WorldError(f"the watcher ended by itself with status {self.process.returncode}; nothing is proven")
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(10) != 0 or not os.path.exists(self.layout.watch_result):
            raise WorldError("the watcher left no result; nothing is proven")
        with open(self.layout.watch_result, encoding="utf-8") as file:
            return json.load(file)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
