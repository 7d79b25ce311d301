"""Clears away what a world left behind that did not end in order. It finds things by what they are (the world's own
namespaces, images and folders), so it needs no record of the run that made them."""

import os
import shutil
import time

from . import disks, processes
from .command import run, succeeds
from .layout import NODES, WorldError

PLACES = (*NODES, "client", "witness", "net")
PATIENCE_S = 15


def _namespace_of_path(path):
    """As processes.namespace() writes it."""
    try:
        return f"net:[{os.stat(path).st_ino}]"
    except FileNotFoundError:
        return None


def leftover_processes(layout):
    """What lives in the world's network namespaces, and programs of the world that live outside them: their command
    line names a file of the world."""
    namespaces = {_namespace_of_path(layout.netns_path(place)) for place in PLACES} - {None}
    own = {os.getpid(), os.getppid()}
    found = []
    for pid in processes.all_pids():
        if pid in own:
            continue
        words = processes.command_line(pid)
        if processes.namespace(pid, "net") in namespaces or (
                words and words[0].startswith(layout.programs + "/")):
            found.append(pid)
    return found


def _kill(layout):
    until = time.monotonic() + PATIENCE_S
    # A power supply that dies takes its node along, which ends more processes: until nothing is found.
    while pids := leftover_processes(layout):
        processes.kill_and_wait(pids, 2)
        if time.monotonic() > until:
            lines = [f"{pid} ({' '.join(processes.command_line(pid))})" for pid in leftover_processes(layout)]
            raise WorldError(f"these processes of an earlier run do not die: {', '.join(lines)}")


def sweep(layout):
    """Returns what was found, in words; empty where nothing was left."""
    found = []
    if pids := leftover_processes(layout):
        found.append(f"{len(pids)} processes")
    _kill(layout)
    devices = disks.attached_below(layout.images)
    until = time.monotonic() + PATIENCE_S
    for device in devices:
        while disks.in_use(device) and time.monotonic() < until:
            time.sleep(0.005)
        disks.detach(device)
    if devices:
        found.append(f"{len(devices)} loop devices")
    switch = layout.netns("net")
    for place in (*NODES, "client"):
        if os.path.exists(layout.netns_path("net")) and succeeds("ip", "-n", switch, "link", "show", place):
            run("ip", "-n", switch, "link", "del", place)
    names = [place for place in PLACES if os.path.exists(layout.netns_path(place))]
    for place in names:
        run("ip", "netns", "del", layout.netns(place))
    if names:
        found.append(f"{len(names)} network namespaces")
    for folder in (layout.base, layout.shm):
        if os.path.isdir(folder):
            found.append(folder)
            shutil.rmtree(folder)
    return found
