"""Debian 12 with systemd as a machine's real root: made once by mmdebstrap and kept packed; each test unpacks it, puts its
own in, and makes a disk of it without mounting anything on the host."""

import hashlib
import os
import shutil
import subprocess

from kernel import cache, quietly

PACKAGES = ("systemd systemd-sysv udev dbus kmod iproute2 procps rdma-core ibverbs-providers librdmacm1 libsodium23 libfmt9 libprotobuf32 "
            "libcpg4 libcmap4 libvotequorum8 initramfs-tools busybox zstd dracut-core cpio kexec-tools "
            # What a storage node runs besides: a boot is as long as its system is.
            "openssh-server ifupdown cron rsyslog chrony lvm2 nfs-kernel-server tgt").split()
SUITE = "bookworm"
# The host's sources may be a snapshot; these are what its Debian is made of anyway.
MIRROR = "http://deb.debian.org/debian"
DISK_SIZE = "900M"


def packed():
    """The root's archive, made where it is not there for these packages."""
    mark = hashlib.sha256(" ".join([SUITE, *PACKAGES]).encode()).hexdigest()[:12]
    archive = os.path.join(cache(), f"debian-{mark}.tar.zst")
    if not os.path.exists(archive):
        partial = archive.replace(".tar.zst", ".partial.tar.zst")
        quietly("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
                # No initramfs for a kernel that is not there, and nothing of documentation.
                "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*", SUITE, partial, MIRROR)
        os.rename(partial, archive)
    return archive


class Root:
    """A folder with that root, for one test."""

    def __init__(self, folder, kernel):
        self.folder = folder
        self.kernel = kernel
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        quietly("tar", "--extract", "--zstd", "--numeric-owner", "--xattrs", f"--file={packed()}", f"--directory={folder}")
        # mkinitramfs asks how the kernel was configured.
        shutil.copy(os.path.join(kernel.folder, "boot", f"config-{kernel.version}"), self.path("boot"))

    def path(self, name):
        return os.path.join(self.folder, name.lstrip("/"))

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)

    def unlink(self, name):
        if os.path.lexists(self.path(name)):
            os.unlink(self.path(name))

    def run(self, *command, environment=None):
        """In the root, with the kernel's modules; what it printed. The mounts end with it."""
        modules = f"lib/modules/{self.kernel.version}"
        os.makedirs(self.path(modules), exist_ok=True)
        script = (f"mount --bind '{self.kernel.modules}' '{self.path(modules)}' && mount -t proc proc '{self.path('proc')}' && "
                  f"mount --bind /dev '{self.path('dev')}' && exec chroot '{self.folder}' \"$@\"")
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C", **(environment or {})})
        if done.returncode != 0:
            raise RuntimeError(f"in the Debian root, {' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout

    def install_modules(self, *names):
        """What the machine loads once it has its root."""
        modules = self.kernel.modules
        into = self.path(f"lib/modules/{self.kernel.version}")
        for file in self.kernel.files_of(*names):
            target = os.path.join(into, os.path.relpath(file, modules))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(file, target)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copy(os.path.join(modules, name), into)
        quietly("depmod", "-b", self.folder, self.kernel.version)

    def make_disk(self, disk):
        quietly("mke2fs", "-q", "-t", "ext4", "-d", self.folder, disk, DISK_SIZE)
        return disk
