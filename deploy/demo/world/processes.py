"""Processes as the kernel shows them: found by namespace or by what they run, never by name alone."""

import os
import signal
import time


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def namespace(pid, kind):
    """The identity of a namespace of a process; None where the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [part.decode(errors="replace") for part in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def state(pid):
    """The letter of /proc/PID/stat; None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def in_namespace(identity, kind):
    if identity is None:
        return []
    return [pid for pid in all_pids() if namespace(pid, kind) == identity]


def program_of(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def send(pid, number):
    """True where the process was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_gone(pids, patience_s):
    """True once none of them runs (a zombie runs no more)."""
    until = time.monotonic() + patience_s
    while any(state(pid) not in (None, "Z", "X") for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def kill_and_wait(pids, patience_s=5):
    for pid in pids:
        send(pid, signal.SIGKILL)
    return wait_gone(pids, patience_s)
