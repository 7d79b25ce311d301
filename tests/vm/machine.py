"""One machine of the lab: QEMU without any help of the host's kernel, driven through a shell on a virtio-serial port and
through QMP. Everything about it is in one folder, so that any process may drive it."""

import base64
import json
import os
import select
import signal
import socket
import subprocess
import time
import uuid

NODES = ("alpha", "beta")
LIFETIME_S = 3600  # a forgotten machine ends by itself
BOOT_PATIENCE_S = 120


class MachineError(Exception):
    """A machine that is not there, does not answer, or said no."""


def seconds_left(until):
    return max(0.0, until - time.monotonic())


class Machine:
    names = NODES  # of all machines of the lab

    def __init__(self, folder, node):
        self.node = node
        self.number = self.names.index(node) + 1
        self.lab = folder
        self.folder = os.path.join(folder, node)
        self.control = None
        os.makedirs(self.folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    # ---- what a machine of another kind has otherwise

    memory_mb = 512

    def boot_words(self, fabric):
        return f"hostname={self.node} node={self.number} fabric={fabric}"

    def more_hardware(self):
        return []

    def clock(self):
        return ["-accel", "tcg,thread=multi"]

    def links(self):
        """Its two network ports: the machine and the port at the other end of each."""
        return [(NODES[2 - self.number], rail) for rail in range(2)]

    # ---- power

    def start(self, kernel_image, initramfs, fabric, owned):
        """`owned`: it ends with the process that started it."""
        self.forget()
        command = [
            "qemu-system-x86_64", "-name", f"hapair-lab-{self.node}", "-pidfile", self.path("pid"),
            "-machine", "q35", "-cpu", "max", *self.clock(), "-m", str(self.memory_mb), "-smp", "1", "-nodefaults",
            "-no-user-config", "-display", "none", "-kernel", kernel_image, "-initrd", initramfs,
            "-append", "console=ttyS0 quiet panic=0 nokaslr mitigations=off tsc=reliable no_timer_check random.trust_cpu=on "
                       f"net.ifnames=0 {self.boot_words(fabric)}",
            "-chardev", f"file,id=console,path={self.path('console')}", "-serial", "chardev:console",
            "-chardev", f"socket,id=control,path={self.path('control')},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=control,nr=1",
            "-qmp", f"unix:{self.path('qmp')},server=on,wait=off", "-device", "virtio-rng-pci"]
        for rail, (other, port) in enumerate(self.links()):
            command += ["-netdev", f"dgram,id=rail{rail},local.type=unix,local.path={self.path(f'net{rail}')},"
                                   f"remote.type=unix,remote.path={os.path.join(self.lab, other)}/net{port}",
                        "-device", f"virtio-net-pci,netdev=rail{rail},mac=52:54:00:0{rail}:00:0{self.number}"]
        command += self.more_hardware()
        with open(self.path("how.json"), "w", encoding="utf-8") as file:
            json.dump({"kernel_image": kernel_image, "initramfs": initramfs, "fabric": fabric}, file)
        wrapper = ["timeout", "--foreground", "--signal", "KILL", str(LIFETIME_S)]
        if owned:
            wrapper = ["setpriv", "--pdeathsig", "KILL"]
        with open(self.path("output"), "w", encoding="utf-8") as said:
            subprocess.Popen([*wrapper, *command], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                             start_new_session=not owned)

    def forget(self):
        self.control = None
        for name in ("control", "qmp", "net0", "net1", "console", "pid"):
            if os.path.lexists(self.path(name)):
                os.unlink(self.path(name))

    def wait_ready(self):
        """How long its kernel says that it took, in seconds."""
        until = time.monotonic() + BOOT_PATIENCE_S
        while time.monotonic() < until:
            ready = [line for line in self.console().splitlines() if line.startswith("LAB READY")]
            if ready:
                return float(ready[-1].split()[2])
            time.sleep(0.05)
        raise MachineError(f"{self.node} did not come up in {BOOT_PATIENCE_S} s; QEMU: {self.text('output')[-500:]!r}; "
                           f"the end of its console: {self.console()[-1500:]}")

    def text(self, name):
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def console(self):
        # QEMU writes on where it was, also in a file that forget_console() has emptied.
        return self.text("console").replace("\r", "").replace("\0", "")

    def pid(self):
        """Of its QEMU; nothing where it is off."""
        try:
            pid = int(self.text("pid"))
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                return pid if self.folder in file.read() else None
        except (ValueError, OSError):
            return None

    def power_off(self):
        if (pid := self.pid()) is None:
            return
        os.kill(pid, signal.SIGKILL)
        while self.pid() is not None:
            time.sleep(0.01)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass

    def power_on(self, owned):
        if self.pid() is not None:
            raise MachineError(f"{self.node} is on")
        with open(self.path("how.json"), encoding="utf-8") as file:
            self.start(**json.load(file), owned=owned)
        self.wait_ready()

    # ---- its shell

    def connect(self):
        if self.control is not None:
            return
        if self.pid() is None:
            raise MachineError(f"{self.node} is off (lab fault {self.node} power-on starts it)")
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(self.path("control"))

    def send(self, command):
        """Without waiting for what comes of it. busybox runs its own ip and tc unless told the path."""
        self.connect()
        self.control.sendall(command.encode() + b"\n")

    def run(self, command, timeout_s=60):
        """Exit status and what it printed, of a line of shell in the machine."""
        end = f"end-{uuid.uuid4().hex}"
        self.send(f"{{ {command}\n}} </dev/null 2>&1; echo {end} $?")
        until = time.monotonic() + timeout_s
        got = b""
        while (at := got.find(end.encode())) < 0 or b"\n" not in got[at:]:
            if not select.select([self.control], [], [], seconds_left(until))[0]:
                self.control.close()
                self.control = None
                raise MachineError(f"{self.node} did not finish in {timeout_s} s: {command}\n{got.decode(errors='replace')}")
            data = self.control.recv(65536)
            if not data:
                self.control = None
                raise MachineError(f"{self.node} went off during: {command}")
            got += data
        shown = got[:at].decode(errors="replace").replace("\r", "").replace("\0", "")
        return int(got[at:].split()[1]), shown

    def must(self, command, timeout_s=60):
        status, shown = self.run(command, timeout_s)
        if status != 0:
            raise MachineError(f"{self.node}: {command} ended with {status}:\n{shown}")
        return shown

    def put(self, name, data, mode="600"):
        self.must(f"mkdir -p \"$(dirname '{name}')\"; : > '{name}'; chmod {mode} '{name}'")
        text = base64.b64encode(data).decode()
        for at in range(0, len(text), 2000):
            self.must(f"echo '{text[at:at + 2000]}' | base64 -d >> '{name}'")

    def clock_ms(self):
        """The machine's clock less the host's, and how far off that may be: both in milliseconds."""
        best = None
        for _ in range(20):
            before = time.monotonic() * 1000
            told = float(self.must("read up rest < /proc/uptime; echo $up")) * 1000
            after = time.monotonic() * 1000
            if best is None or after - before < best[1]:
                # It is told in whole hundredths of a second, rounded down.
                best = (told + 5 - (before + after) / 2, after - before)
        return best[0], best[1] / 2 + 5

    # ---- faults

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(20)
            link.connect(self.path("qmp"))
            lines = link.makefile("rw")
            lines.readline()
            for one, given in (("qmp_capabilities", {}), (command, arguments)):
                lines.write(json.dumps({"execute": one, "arguments": given}) + "\n")
                lines.flush()
                answer = json.loads(lines.readline())
                while "event" in answer:
                    answer = json.loads(lines.readline())
                if "error" in answer:
                    raise MachineError(f"{self.node}: {one}: {answer['error']['desc']}")
        return answer["return"]

    def capture(self, rail, path):
        """All frames of that link go to the file, until end_capture()."""
        self.qmp("object-add", **{"qom-type": "filter-dump", "id": f"dump{rail}", "netdev": f"rail{rail}", "file": path})

    def end_capture(self, rail):
        self.qmp("object-del", id=f"dump{rail}")

    def cut_one_way(self, way):
        for port in ("eth0", "eth1"):
            self.must(f"/usr/bin/tc qdisc add dev {port} clsact 2>/dev/null; "
                      f"/usr/bin/tc filter add dev {port} {way} pref 1 matchall action drop")

    def fault(self, kind, owned=False):
        if kind == "freeze":
            self.qmp("stop")
        elif kind == "thaw":
            self.qmp("cont")
        elif kind == "power-off":
            self.power_off()
        elif kind == "power-on":
            self.power_on(owned)
        elif kind == "reset":
            self.forget_console()
            self.qmp("system_reset")
        elif kind == "panic":
            self.send("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
        elif kind in ("link-cut", "link-heal"):
            for rail in range(2):
                self.qmp("set_link", name=f"rail{rail}", up=kind == "link-heal")
            if kind == "link-heal":
                self.run("for port in eth0 eth1; do /usr/bin/tc qdisc del dev $port clsact; done")
        elif kind == "cut-in":
            self.cut_one_way("ingress")
        elif kind == "cut-out":
            self.cut_one_way("egress")
        else:
            raise MachineError(f"no such fault: {kind}")

    def forget_console(self):
        with open(self.path("console"), "w", encoding="utf-8"):
            pass


FAULTS = ("freeze", "thaw", "power-off", "power-on", "reset", "panic", "link-cut", "link-heal", "cut-in", "cut-out")
