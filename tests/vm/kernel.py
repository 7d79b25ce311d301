"""The kernel that the machines boot: Debian's own, unpacked into a folder and not installed; and soft-iWARP for it, which
Debian's kernel leaves out, built from Debian's source of it."""

import glob
import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cache():
    folder = os.environ.get("HAPAIR_VM_CACHE") or os.path.join(ROOT, "build", "vm")
    os.makedirs(folder, exist_ok=True)
    return folder


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def quietly(*command, **options):
    """Runs a command; all that it printed is in the error if it fails."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-3000:]}")


def download(package):
    """The package's file, fetched once."""
    folder = os.path.join(cache(), "packages")
    os.makedirs(folder, exist_ok=True)
    pattern = os.path.join(folder, f"{package}_*.deb")
    if not glob.glob(pattern):
        try:
            quietly("apt-get", "download", "-q", package, cwd=folder)
        except RuntimeError:
            quietly("apt-get", "update", "-q")
            quietly("apt-get", "download", "-q", package, cwd=folder)
    return glob.glob(pattern)[0]


class Kernel:
    def __init__(self):
        """Fetches and unpacks it where it is not there yet."""
        depends = output("apt-cache", "depends", "linux-image-amd64")
        if "linux-image-" not in depends.split("\n", 1)[-1]:
            quietly("apt-get", "update", "-q")
            depends = output("apt-cache", "depends", "linux-image-amd64")
        self.version = re.search(r"Depends: linux-image-(\S+)", depends).group(1)
        self.folder = os.path.join(cache(), f"kernel-{self.version}")
        self.image = os.path.join(self.folder, "boot", f"vmlinuz-{self.version}")
        self.modules = os.path.join(self.folder, "lib", "modules", self.version)
        if not os.path.exists(os.path.join(self.modules, "modules.dep")):
            partial = self.folder + ".partial"
            shutil.rmtree(partial, ignore_errors=True)
            quietly("dpkg", "-x", download(f"linux-image-{self.version}"), partial)
            quietly("depmod", "-b", partial, self.version)
            os.rename(partial, self.folder)

    def build_siw(self):
        """Soft-iWARP, out of the tree: its folder of Debian's kernel source, against Debian's headers."""
        module = os.path.join(self.modules, "extra", "siw.ko")
        if os.path.exists(module):
            return
        quietly("apt-get", "install", "-y", "-q", "--no-install-recommends", f"linux-headers-{self.version}", "xz-utils", "make",
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        source = os.path.join(cache(), "siw-source")
        shutil.rmtree(source, ignore_errors=True)
        os.makedirs(source)
        series = ".".join(self.version.split(".")[:2])
        unpack = (f"dpkg-deb --fsys-tarfile '{download('linux-source-' + series)}' | "
                  f"tar -xO ./usr/src/linux-source-{series}.tar.xz | xz -dc -T0 | "
                  f"tar -x -C '{source}' --strip-components=1 --wildcards '*/drivers/infiniband/sw/siw/*'")
        quietly("bash", "-c", unpack)
        folder = os.path.join(source, "drivers", "infiniband", "sw", "siw")
        quietly("make", "-C", f"/usr/src/linux-headers-{self.version}", f"M={folder}", "CONFIG_RDMA_SIW=m", "modules")
        os.makedirs(os.path.dirname(module), exist_ok=True)
        shutil.copy(os.path.join(folder, "siw.ko"), module)
        quietly("depmod", "-b", self.folder, self.version)

    def files_of(self, *modules):
        """The modules' files and those of what they need."""
        files = []
        for module in modules:
            # Built into the kernel: nothing to load, and not an error.
            shown = subprocess.run(["modprobe", "-d", self.folder, "-S", self.version, "--show-depends", module], check=True,
                                   capture_output=True, text=True).stdout
            files += [line.split()[1] for line in shown.splitlines() if line.startswith("insmod")]
        return sorted(set(files))
