"""What a machine boots into: an initramfs with busybox, the RDMA tools and an init of our own; and on top of it an overlay
with the programs under test, so that a new build of them needs no new base."""

import hashlib
import os
import re
import shutil
import subprocess

from kernel import cache, output, quietly

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ("virtio_net virtio_pci virtio_console virtio_rng ib_uverbs rdma_ucm rdma_rxe crc32_generic crc32c-intel "
           "sch_ingress sch_netem cls_matchall act_gact af_packet i6300esb").split()
PROGRAMS = ("/usr/bin/rdma /sbin/ip /sbin/tc /usr/bin/ibv_devinfo /usr/bin/ibv_devices /bin/date /usr/bin/rping /usr/bin/ib_read_lat "
            "/bin/kmod").split()
PROVIDERS = "/usr/lib/x86_64-linux-gnu/libibverbs"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def libraries_of(path):
    """Every shared library that the program or library needs."""
    shown = subprocess.run(["ldd", path], check=False, capture_output=True, text=True).stdout
    return re.findall(r"=> (/\S+)", shown)


class Tree:
    """A folder that becomes a cpio archive."""

    def __init__(self, folder):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    def copy(self, source, into, name=None):
        target = os.path.join(self.folder, into, name or os.path.basename(source))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
        return target

    def add_program(self, source, into="usr/bin"):
        target = self.copy(source, into)
        for library in libraries_of(source):
            if not os.path.exists(os.path.join(self.folder, LIBRARIES, os.path.basename(library))):
                self.copy(library, LIBRARIES)
        return target

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def pack(self, archive):
        names = "\n".join(os.path.relpath(os.path.join(at, name), self.folder)
                          for at, folders, files in os.walk(self.folder) for name in (*folders, *files))
        with open(archive + ".partial", "wb") as file:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], check=True, cwd=self.folder, stdout=file, input=names.encode())
        os.rename(archive + ".partial", archive)
        shutil.rmtree(self.folder)


def base(kernel, fabric, more_modules=()):
    """The archive's path; made where it is not there for this kernel, this init, this fabric and these modules."""
    modules = [*MODULES, *(["siw"] if fabric == "siw" else []), *more_modules]
    with open(os.path.join(HERE, "init"), encoding="utf-8") as file:
        init = file.read()
    with open(__file__, encoding="utf-8") as file:
        mark = hashlib.sha256((init + file.read() + kernel.version + fabric + " ".join(more_modules)).encode()).hexdigest()[:12]
    archive = os.path.join(cache(), f"base-{mark}.cpio")
    if os.path.exists(archive):
        return archive
    tree = Tree(os.path.join(cache(), f"tree-{os.getpid()}"))
    for folder in ("bin", "sbin", "proc", "sys", "dev", "tmp", "run", "root", "var/lib", "etc", "lib"):
        os.makedirs(os.path.join(tree.folder, folder), exist_ok=True)
    os.symlink("lib", os.path.join(tree.folder, "lib64"))
    tree.copy("/bin/busybox", "bin")
    tree.copy(os.path.realpath("/lib64/ld-linux-x86-64.so.2"), "lib", "ld-linux-x86-64.so.2")
    for program in PROGRAMS:
        tree.add_program(program)
    os.symlink("/usr/bin/kmod", os.path.join(tree.folder, "sbin/modprobe"))
    tree.copy("/lib/x86_64-linux-gnu/libgcc_s.so.1", LIBRARIES)  # loaded by libpthread when a thread ends
    for provider in ("rxe", "siw"):
        tree.add_program(os.path.join(PROVIDERS, f"lib{provider}-rdmav34.so"), f"{LIBRARIES}/libibverbs")
        tree.copy(f"/etc/libibverbs.d/{provider}.driver", "etc/libibverbs.d")
    for file in kernel.files_of(*modules):
        into = os.path.join("lib/modules", kernel.version, os.path.dirname(os.path.relpath(file, kernel.modules)))
        quietly("strip", "--strip-debug", tree.copy(file, into))
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        tree.copy(os.path.join(kernel.modules, name), f"lib/modules/{kernel.version}")
    quietly("depmod", "-b", tree.folder, kernel.version)
    tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    tree.write("etc/hosts", "127.0.0.1 localhost\n")
    tree.write("etc/ld.so.conf", f"/{LIBRARIES}\n")
    quietly("ldconfig", "-r", tree.folder)
    tree.write("init", init, 0o755)
    tree.pack(archive)
    return archive


def overlay(archive, programs, files):
    """`programs`: paths on the host, found in /usr/bin of the machine with their libraries. `files`: name there to text."""
    tree = Tree(archive + ".tree")
    for program in programs:
        quietly("strip", tree.add_program(program))
    for name, text in files.items():
        tree.write(name.lstrip("/"), text, 0o600)
    tree.pack(archive)
    return archive


def compressed(archives, into):
    """One archive of several: the kernel reads one after the other."""
    with open(into + ".cpio", "wb") as whole:
        for archive in archives:
            with open(archive, "rb") as part:
                shutil.copyfileobj(part, whole)
    output("zstd", "-q", "-f", "-1", "--rm", into + ".cpio", "-o", into)
    return into
