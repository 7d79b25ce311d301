"""What the nodes are measured under. Each is begun and ended; what it does it does to both nodes alike, which share this machine."""

import os
import shutil
import subprocess
import tempfile

from lan import dying_with_us

BURN = "while :; do :; done"
# 4 KiB written and made durable again and again, beside large writes past the cache.
STORM = ("while :; do dd if=/dev/zero of=small bs=4k count=200 oflag=dsync status=none; "
         "dd if=/dev/zero of=large bs=1M count=64 oflag=direct status=none || dd if=/dev/zero of=large bs=1M count=64 conv=fsync status=none; done")
TOUCH = """import mmap, sys
size = int(sys.argv[1])
while True:
    area = mmap.mmap(-1, size)
    for at in range(0, size, 4096):
        area[at] = 1
    area.close()
"""


class Idle:
    name = "idle"
    what = "nothing else runs"

    def begin(self, lan):
        pass

    def end(self, lan):
        pass


class Processes(Idle):
    def __init__(self):
        self.running = []
        self.folder = None

    def commands(self):
        raise NotImplementedError

    def begin(self, lan):
        self.folder = tempfile.mkdtemp(prefix="hapair-load-", dir="/var/tmp")
        self.running = [subprocess.Popen(dying_with_us(*command), cwd=self.folder, stdin=subprocess.DEVNULL, start_new_session=True)
                        for command in self.commands()]

    def end(self, lan):
        for process in self.running:
            os.killpg(process.pid, 9)
            process.wait()
        self.running = []
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Processor(Processes):
    name = "processor"
    what = "two endless loops for each core"

    def commands(self):
        return [["sh", "-c", BURN]] * (2 * os.cpu_count())


class Memory(Processes):
    name = "memory"
    what = "for each core a process that takes memory and gives it back, together three quarters of what is free"

    def commands(self):
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) * 1024
        each = free * 3 // 4 // os.cpu_count() // 4096 * 4096
        return [["/usr/bin/python3", "-c", TOUCH, str(each)]] * os.cpu_count()


class Storm(Processes):
    name = "io"
    what = "for each core small durable writes and large ones past the cache, without end"

    def commands(self):
        return [["sh", "-c", f"mkdir {i} && cd {i} && {STORM}"] for i in range(os.cpu_count())]


class Loss(Idle):
    def __init__(self, percent):
        self.percent = percent
        self.name = f"loss-{percent}"
        self.what = f"{percent} % of all frames are lost, each way"

    def begin(self, lan):
        lan.lose(self.percent)

    def end(self, lan):
        lan.calm()


class Jitter(Idle):
    name = "jitter"
    what = "frames take 1 to 15 ms each way, another time every tenth of a second"

    def begin(self, lan):
        lan.delay(1, 15)

    def end(self, lan):
        lan.calm()


ALL = {load.name: load for load in (Idle(), Processor(), Memory(), Storm(), Loss(1), Loss(10), Loss(30), Jitter())}
