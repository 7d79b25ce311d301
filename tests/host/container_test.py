"""hapair-node-init, process 1 of a container, really ends one: what its watchdog does to processes that are stopped, hide in sessions of
their own or do not listen, and what it does without it. Needs root; skipped without, and says why.

usage: container_test.py BUILD_FOLDER [TEST...]"""

import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from iwarp_pair import run_tests

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy", "demo"))

from world import processes  # noqa: E402 pylint: disable=wrong-import-position

BUILD_FOLDER = ""
PATIENCE_S = 20
TIMEOUT_MS = 1000
ENDED_BY_WATCHDOG, NOT_STARTED, CANNOT_RUN = 90, 125, 127
# ccm/wire/container_watchdog.h
MAGIC = 0x31445743
HOLD, FEED, STOP, HELD, REFUSED, FED = 1, 2, 3, 4, 5, 6
PACKET = struct.Struct("<IIqIIiI")
CONNECT = """import socket, sys
holder = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
holder.connect(sys.argv[1])
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"x"], [holder.fileno()])"""


def packet(message, timeout_ms=0):
    return PACKET.pack(MAGIC, message, time.clock_gettime_ns(time.CLOCK_BOOTTIME), timeout_ms, 0, 0, 0)


class Container(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hapair-container-")
        self.addCleanup(folder.cleanup)
        self.watchdog = os.path.join(folder.name, "watchdog")
        self.boot_id = os.path.join(folder.name, "boot-id")
        self.init = f"{BUILD_FOLDER}/ccm/container/hapair-node-init"

    def start(self, script, *options):
        """A container that runs the script, and says "up" when it does."""
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--net", "--fork", "--kill-child", self.init, "--watchdog",
             self.watchdog, "--boot-id", self.boot_id, *options, "--", "sh", "-c", f"{script}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.stdin.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.assertEqual(self.process.stdout.readline(), "up\n")
        children = [int(pid) for pid in self.read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()]
        self.assertEqual(len(children), 1)
        self.pid_1 = children[0]
        self.namespace = processes.namespace(self.pid_1, "pid")

    def go_on(self):
        """For a script that reads a line before it ends."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    @staticmethod
    def read(path):
        with open(path, encoding="ascii") as file:
            return file.read()

    def connect_inside(self):
        """A process of the container connects, and hands its socket out."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(["nsenter", f"--target={self.pid_1}", "--pid", "--", sys.executable, "-c", CONNECT, self.watchdog,
                            str(theirs.fileno())], pass_fds=[theirs.fileno()], check=True, timeout=PATIENCE_S)
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=fds[0])

    def connect_outside(self):
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        holder.connect(self.watchdog)
        return holder

    def hold(self, timeout_ms=TIMEOUT_MS, inside=True):
        holder = self.connect_inside() if inside else self.connect_outside()
        self.addCleanup(holder.close)
        holder.settimeout(PATIENCE_S)
        holder.send(packet(HOLD, timeout_ms))
        return holder

    def held(self):
        holder = self.hold()
        answer = PACKET.unpack(holder.recv(64))
        self.assertEqual((answer[1], answer[3]), (HELD, TIMEOUT_MS))
        return holder

    def inside(self):
        return processes.in_namespace(self.namespace, "pid")

    def ends(self, since):
        """By its watchdog, with everything, and not before it must."""
        self.assertEqual(self.process.wait(PATIENCE_S), ENDED_BY_WATCHDOG)
        self.assertGreaterEqual(time.monotonic() - since, TIMEOUT_MS / 1000)
        self.assertEqual(self.inside(), [])

    def test_ends_with_all_its_processes_when_it_is_not_fed(self):
        self.start("trap '' TERM INT HUP; setsid sleep 1000 & (setsid sh -c 'sleep 1000' &) ; nohup sleep 1000 >/dev/null 2>&1 & echo up; "
                   "while :; do sleep 1; done")
        self.assertGreater(len(self.inside()), 4)
        since = time.monotonic()
        self.held()
        self.ends(since)

    def test_lives_as_long_as_it_is_fed(self):
        self.start("echo up; sleep 1000")
        holder = self.held()
        until = time.monotonic() + 3 * TIMEOUT_MS / 1000
        while time.monotonic() < until:
            since = time.monotonic()
            sent = packet(FEED)
            holder.send(sent)
            answer = PACKET.unpack(holder.recv(64))
            self.assertEqual((answer[1], answer[2]), (FED, PACKET.unpack(sent)[2]))
            time.sleep(TIMEOUT_MS / 4000)
        self.assertIsNone(self.process.poll())
        self.ends(since)

    def test_ends_stopped_processes_too(self):
        self.start("sleep 1000 & sleep 1000 & echo up; sleep 1000")
        for pid in self.inside():
            if pid != self.pid_1:
                processes.send(pid, signal.SIGSTOP)
        since = time.monotonic()
        self.held()
        self.ends(since)

    def test_is_neither_stopped_nor_killed_from_inside(self):
        self.start("kill -STOP 1; kill -KILL 1; echo up; sleep 1000")
        since = time.monotonic()
        self.held()
        self.ends(since)

    def test_closed_without_the_word_its_time_runs_on(self):
        self.start("echo up; sleep 1000")
        since = time.monotonic()
        self.held().close()
        self.ends(since)

    def test_with_the_word_it_lives_on(self):
        self.start("echo up; sleep 1000")
        holder = self.held()
        holder.send(packet(STOP))
        holder.close()
        time.sleep(2 * TIMEOUT_MS / 1000)
        self.assertIsNone(self.process.poll())
        since = time.monotonic()
        self.held().close()
        self.ends(since)

    def test_without_a_way_out_the_word_changes_nothing(self):
        self.start("echo up; sleep 1000", "--nowayout")
        since = time.monotonic()
        self.held().send(packet(STOP))
        self.ends(since)

    def test_who_comes_second_is_refused_and_feeds_nothing(self):
        self.start("echo up; sleep 1000")
        since = time.monotonic()
        self.held()
        try:
            self.assertEqual(PACKET.unpack(self.hold(600_000).recv(64))[1], REFUSED)
        except (BrokenPipeError, ConnectionResetError):
            pass  # turned out before it could say what it wants, or read why
        self.ends(since)

    def test_a_process_outside_is_refused(self):
        self.start("echo up; read line; exit 7")
        try:
            answer = PACKET.unpack(self.hold(inside=False).recv(64))
            self.assertEqual((answer[1], answer[5]), (REFUSED, errno.EPERM))
        except (BrokenPipeError, ConnectionResetError):
            pass  # turned out before it could say what it wants, or read why
        time.sleep(2 * TIMEOUT_MS / 1000)
        self.go_on()
        self.assertEqual(self.process.wait(PATIENCE_S), 7)

    def test_a_wish_and_the_word_that_lay_unread_leave_nothing_running(self):
        self.start("echo up; read line; exit 7")
        holder = self.connect_inside()
        processes.send(self.pid_1, signal.SIGSTOP)
        holder.send(packet(HOLD, TIMEOUT_MS))
        holder.send(packet(STOP))
        holder.close()
        time.sleep(2 * TIMEOUT_MS / 1000)
        processes.send(self.pid_1, signal.SIGCONT)
        time.sleep(2 * TIMEOUT_MS / 1000)
        self.go_on()
        self.assertEqual(self.process.wait(PATIENCE_S), 7)

    def test_nobody_held_it_nothing_happens(self):
        self.start("echo up; read line; exit 7")
        time.sleep(2 * TIMEOUT_MS / 1000)
        self.go_on()
        self.assertEqual(self.process.wait(PATIENCE_S), 7)

    def test_hands_signals_on_and_ends_as_its_command_ends(self):
        self.start("trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done")
        processes.send(self.pid_1, signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE_S), 9)
        self.start("echo up; read line; kill -KILL $$")
        self.go_on()
        self.assertEqual(self.process.wait(PATIENCE_S), 128 + signal.SIGKILL)

    def test_reaps_whom_nobody_waits_for(self):
        self.start("(sh -c 'exit 0' &); (sh -c 'exit 0' &); sleep 0.5; echo up; sleep 1000")
        until = time.monotonic() + PATIENCE_S
        while any(processes.state(pid) == "Z" for pid in self.inside()):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_draws_a_boot_id_at_each_start(self):
        drawn = set()
        for _ in range(2):
            self.start("echo up; read line")
            self.go_on()
            self.process.wait(PATIENCE_S)
            drawn.add(self.read(self.boot_id))
        self.assertEqual([len(boot_id) for boot_id in drawn], [37, 37])
        self.assertNotEqual(drawn, {self.read("/proc/sys/kernel/random/boot_id")})

    def test_is_no_ordinary_process(self):
        done = subprocess.run([self.init, "--watchdog", self.watchdog, "true"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, NOT_STARTED)
        self.assertIn("not process 1 of a PID namespace", done.stderr)
        self.assertFalse(os.path.exists(self.watchdog))

    def test_says_what_cannot_be_run_and_what_is_in_the_way(self):
        container = ["unshare", "--pid", "--fork", "--kill-child", self.init, "--boot-id", self.boot_id, "--watchdog"]
        done = subprocess.run([*container, self.watchdog, "/nonexistent"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, CANNOT_RUN)
        self.assertIn("cannot run /nonexistent", done.stderr)
        with open(self.watchdog + ".file", "w", encoding="ascii") as file:
            file.write("text")
        done = subprocess.run([*container, self.watchdog + ".file", "true"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, NOT_STARTED)
        self.assertIn("something else than a socket", done.stderr)
        self.assertEqual(self.read(self.watchdog + ".file"), "text")
        for words in ([], ["--watchdog"], ["--boot-id"], ["--nowayout"], ["--watchdog", "relative", "true"], ["--other", "true"]):
            self.assertEqual(subprocess.run([self.init, *words], capture_output=True, check=False).returncode, 2, words)


def use_build(folder):
    global BUILD_FOLDER  # pylint: disable=global-statement
    BUILD_FOLDER = os.path.abspath(folder)


if __name__ == "__main__":
    sys.exit(run_tests(use_build))
