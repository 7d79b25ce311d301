"""The two machines together."""

import os
import shutil
import time

import image
from kernel import Kernel
from machine import NODES, Machine


class Lab:
    more_modules = ()

    def __init__(self, folder, owned=False):
        self.folder = folder
        self.owned = owned
        self.machines = {node: Machine(folder, node) for node in NODES}

    def up(self, fabrics, programs=(), files=None):
        """`fabrics`: of alpha and of beta. Seconds until both were ready."""
        began = time.monotonic()
        kernel = Kernel()
        if "siw" in fabrics:
            kernel.build_siw()
        for machine in self.machines.values():
            os.makedirs(machine.folder, exist_ok=True)
        overlay = image.overlay(os.path.join(self.folder, "overlay.cpio"), programs, files or {})
        prepared = time.monotonic()
        for machine, fabric in zip(self.machines.values(), fabrics):
            initramfs = image.compressed([image.base(kernel, fabric, self.more_modules), overlay], machine.path("initramfs"))
            machine.start(kernel.image, initramfs, fabric, self.owned)
        for machine in self.machines.values():
            machine.wait_ready()
        if "none" not in fabrics:
            self.wait_until_they_meet()
        return prepared - began, time.monotonic() - prepared

    def wait_until_they_meet(self):
        """The first packets after a start may be lost, and the kernel's connection manager waits four seconds before it sends
        its own again: longer than what is tested afterwards may wait."""
        alpha, beta = self.machines.values()
        for server, client, address in ((beta, alpha, "10.9.0.2"), (alpha, beta, "10.9.0.1")):
            server.must(f"rping -s -a {address} -p 7999 -C 1 > /tmp/rping.server 2>&1 &")
            client.must("tries=100; "
                        f"until timeout 10 rping -c -a {address} -p 7999 -C 1 > /tmp/rping 2>&1 || grep -q DISCONNECT /tmp/rping; do "
                        "tries=$((tries - 1)); [ $tries -gt 0 ] || break; sleep 0.1; done; [ $tries -gt 0 ]", 120)

    def down(self):
        for machine in self.machines.values():
            machine.power_off()
        shutil.rmtree(self.folder, ignore_errors=True)
