"""The two machines together."""

import os
import shutil
import time

import image
from kernel import Kernel
from machine import NODES, Machine


class Lab:
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
            initramfs = image.compressed([image.base(kernel, fabric), overlay], machine.path("initramfs"))
            machine.start(kernel.image, initramfs, fabric, self.owned)
        for machine in self.machines.values():
            machine.wait_ready()
        return prepared - began, time.monotonic() - prepared

    def down(self):
        for machine in self.machines.values():
            machine.power_off()
        shutil.rmtree(self.folder, ignore_errors=True)
