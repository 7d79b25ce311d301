"""hapair's services and a pool's systemd units, under a real systemd: the shipped unit files, READY and watchdog, a unit
that is started, monitored, restarted and stopped as a resource. Needs root; skipped without, and says why.

usage: systemd_test.py BUILD_FOLDER [TEST...]"""

import json
import os
import signal
import sys
import time
import unittest

import private_systemd

SKIPPED = 77  # what ctest is told by SKIP_RETURN_CODE
PATIENCE_S = 30
BUILD_FOLDER = ""
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

THING = """[Unit]
Description=a daemon that is a resource
[Service]
ExecStart=/bin/sleep 100000
"""

# An OCF agent whose resource is a daemon of its own: it lives in the control group of hapaird, which started it.
DAEMON = """#!/bin/bash
pid=$(cat "$OCF_RESKEY_file" 2>/dev/null)
alive() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
case $1 in
  start) alive || { setsid sleep 100000 >/dev/null 2>&1 </dev/null & echo $! >"$OCF_RESKEY_file"; } ;;
  stop) ! alive || kill "$pid" ;;
  monitor) alive || exit 7 ;;
esac
"""

# Says off of a node that was never on: nothing runs as beta here.
FENCE = """#!/bin/sh
while read -r line; do case $line in action=*) action=${line#action=} ;; esac; done
[ "$action" = status ] && exit 2
exit 0
"""


def wait_until(condition, what):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"waited {PATIENCE_S} s in vain until {what}")
        time.sleep(0.05)


class UnderSystemd(unittest.TestCase):
    def setUp(self):
        self.systemd = private_systemd.PrivateSystemd()
        self.addCleanup(self.systemd.stop)
        self.folder = self.systemd.folder
        self.write("key", "k" * 64, 0o600)
        self.write("fence_test", FENCE, 0o755)
        self.configure({"type": "systemd:thing.service"})
        for service in ("ccmd", "hapaird"):
            self.install(service)
        self.systemd.unit("thing.service", THING)
        self.systemd.start()

    def write(self, name, text, mode):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def configure(self, *resources):
        self.write("hapair.json", json.dumps({
            "pair": "test", "node": "alpha", "partner": "beta",
            "key_file": f"{self.folder}/key", "state_dir": f"{self.folder}/state",
            "ccm": {"rails": [{"name": "shm", "fabric": "shm", "dir": f"{self.folder}/shm"}]},
            "fencing": {"devices": [{"name": "power", "agent": f"{self.folder}/fence_test", "timeout_ms": 20000}]},
            "pools": [{"name": "pool-a", "home": "alpha", "resources": [
                {"name": "thing", "monitor_interval_ms": 200, **resource} for resource in resources]}],
        }), 0o644)

    def install(self, service):
        """The shipped unit; only where the program and its configuration are is this test's own."""
        with open(f"{SOURCE}/deploy/systemd/{service}.service", encoding="utf-8") as shipped:
            text = shipped.read()
        program = {"ccmd": "ccm/daemon/ccmd", "hapaird": "agent/daemon/hapaird"}[service]
        mine = f"{BUILD_FOLDER}/{program} --config {self.folder}/hapair.json"
        self.assertIn(f"ExecStart=/usr/sbin/{service}", text)
        text = text.replace(f"ExecStart=/usr/sbin/{service}", f"ExecStart={mine}")
        text = text.replace("[Service]\n", f"[Service]\nEnvironment=OCF_ROOT={self.folder}/ocf\n")
        # Programs and files of this test may lie in a home folder.
        self.systemd.unit(f"{service}.service", text.replace("ProtectHome=yes", "ProtectHome=no"))

    def start(self, *services):
        for service in services:
            done = self.systemd.systemctl("start", service)
            said = self.systemd.systemctl("status", "--no-pager", service).stdout
            self.assertEqual(done.returncode, 0, f"{done.stderr}\n{said}")

    def hapair(self, *arguments):
        return self.systemd.run(f"{BUILD_FOLDER}/agent/cli/hapair", "--config", f"{self.folder}/hapair.json",
                                *arguments)

    def serve(self):
        self.start("ccmd.service", "hapaird.service")
        # Beta was never seen; an operator says that it is down, and the fence device confirms it.
        wait_until(lambda: self.hapair("takeover").returncode == 0, "a takeover is accepted")
        wait_until(lambda: self.state("thing.service") == "active", "the pool's unit is active")

    def state(self, unit):
        return self.systemd.show(unit, "ActiveState")

    def main_pid(self, unit):
        return int(self.systemd.show(unit, "MainPID"))

    def signal(self, unit, number):
        self.systemd.systemctl("kill", "--kill-whom=main", f"--signal={number.name}", unit)


class TheServices(UnderSystemd):
    def test_are_active_once_they_say_that_they_are_ready(self):
        self.start("ccmd.service", "hapaird.service")
        for service in ("ccmd.service", "hapaird.service"):
            self.assertEqual(self.state(service), "active")
            self.assertNotEqual(self.systemd.show(service, "StatusText"), "")

    def test_that_hang_are_replaced_and_the_pool_runs_on(self):
        self.serve()
        thing = self.main_pid("thing.service")
        for service in ("hapaird.service", "ccmd.service"):
            before = self.main_pid(service)
            self.signal(service, signal.SIGSTOP)
            wait_until(lambda s=service, b=before: self.main_pid(s) not in (0, b) and self.state(s) == "active",
                       f"the watchdog has replaced {service}")
        wait_until(lambda: '"serving' in self.hapair("status", "--json").stdout, "the new agent serves on")
        self.assertEqual(self.main_pid("thing.service"), thing)

    def test_leave_the_daemons_of_a_pool_alone_when_the_agent_is_killed(self):
        os.makedirs(f"{self.folder}/ocf/resource.d/test")
        self.write("ocf/resource.d/test/daemon", DAEMON, 0o755)
        self.configure({"type": "ocf:test:daemon", "parameters": {"file": f"{self.folder}/pid"}})
        self.start("ccmd.service", "hapaird.service")
        wait_until(lambda: self.hapair("takeover").returncode == 0, "a takeover is accepted")
        wait_until(lambda: '"serving' in self.hapair("status", "--json").stdout, "the pool is served")
        with open(f"{self.folder}/pid", encoding="ascii") as file:
            daemon = file.read()
        before = self.main_pid("hapaird.service")
        self.signal("hapaird.service", signal.SIGKILL)
        wait_until(lambda: self.main_pid("hapaird.service") not in (0, before), "another agent runs")
        wait_until(lambda: '"serving' in self.hapair("status", "--json").stdout, "the new agent serves on")
        with open(f"{self.folder}/pid", encoding="ascii") as file:
            self.assertEqual(file.read(), daemon, "the daemon was not started anew")

    def test_end_what_a_killed_agent_had_under_way(self):
        # KillMode=process: a start that the agent waits for goes on without it.
        self.systemd.unit("thing.service", THING + "ExecStartPre=/bin/sh -c 'until [ -e "
                          f"{self.folder}/go ]; do sleep 0.05; done'\n")
        self.systemd.systemctl("daemon-reload")
        self.start("ccmd.service", "hapaird.service")
        wait_until(lambda: self.hapair("takeover").returncode == 0, "a takeover is accepted")

        def starting():
            return self.systemd.run("pgrep", "-f", "^/usr/bin/systemctl .* start -- thing.service").stdout.split()
        wait_until(starting, "the start is under way")
        left = starting()
        before = self.main_pid("hapaird.service")
        self.signal("hapaird.service", signal.SIGKILL)
        wait_until(lambda: self.main_pid("hapaird.service") not in (0, before), "another agent runs")
        wait_until(lambda: 'while it waited for "pool-a/thing start"' in self.hapair("events").stdout, "it tells of it")
        self.assertFalse(set(left) & set(starting()))
        self.write("go", "", 0o644)
        wait_until(lambda: '"serving' in self.hapair("status", "--json").stdout, "the new agent's own start succeeds")

    def test_that_are_refused_by_their_configuration_are_not_started_again(self):
        self.write("hapair.json", "{}", 0o644)
        self.assertNotEqual(self.systemd.systemctl("start", "ccmd.service").returncode, 0)
        self.assertEqual(self.state("ccmd.service"), "failed")
        self.assertEqual(self.systemd.show("ccmd.service", "NRestarts"), "0")


class AUnitAsResource(UnderSystemd):
    def test_is_started_with_its_pool_and_stopped_with_it(self):
        self.assertEqual(self.state("thing.service"), "inactive")
        self.serve()
        self.assertEqual(self.systemd.systemctl("stop", "hapaird.service").returncode, 0)
        self.assertEqual(self.state("thing.service"), "inactive")

    def test_is_started_again_when_it_dies(self):
        self.serve()
        before = self.main_pid("thing.service")
        self.signal("thing.service", signal.SIGKILL)
        wait_until(lambda: self.main_pid("thing.service") not in (0, before), "the monitor has started it again")
        self.assertIn("thing", self.hapair("events").stdout)

    def test_that_was_left_running_is_stopped_before_the_node_joins(self):
        self.start("thing.service", "ccmd.service", "hapaird.service")
        wait_until(lambda: self.state("thing.service") == "inactive", "what runs without a record is stopped")

    def test_that_systemd_does_not_know_fails_with_a_reason(self):
        self.configure({"type": "systemd:nothing.service"})
        self.start("ccmd.service", "hapaird.service")
        wait_until(lambda: "systemd knows no unit nothing.service" in self.hapair("events").stdout, "the probe says so")
        wait_until(lambda: self.hapair("takeover").returncode == 0, "a takeover is accepted")
        wait_until(lambda: "Unit nothing.service not found" in self.hapair("status").stdout, "the status names the cause")
        self.assertNotIn("did not stop", self.hapair("status").stdout)


def main():
    global BUILD_FOLDER
    why = private_systemd.why_skipped()
    if why:
        print(f"skipped: {why}")
        return SKIPPED
    # An interrupted test cleans up like one that failed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    BUILD_FOLDER = os.path.abspath(sys.argv.pop(1))
    return 0 if unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
