"""The shared disks: image files, and one loop device a node and image. A node attaches its own: `mount -o loop` would
let both nodes share one device and one superblock, and a split brain could not even happen."""

import errno
import fcntl
import glob
import os
import struct

from .command import run
from .layout import POOLS, WorldError

LOOP_CLR_FD = 0x4C01
LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4C04, 0x4C05
LOOP_INFO64_BYTES, LOOP_INFO64_OFFSET = 232, 24  # struct loop_info64, and lo_offset in it
FS_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32): XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN
SHUTDOWN_WITHOUT_FLUSH = 2


def make_images(layout):
    """Both images with their file systems and the LUN's file, zeroed: allocating it is not what a write should wait
    for."""
    os.makedirs(layout.images, exist_ok=True)
    for pool in POOLS:
        image = layout.image(pool)
        with open(image, "wb") as file:
            file.truncate(pool.image_mib << 20)
        run(f"mkfs.{pool.filesystem}", "-q", image)
        mountpoint = f"{layout.images}/mnt"
        os.makedirs(mountpoint, exist_ok=True)
        # In a mount namespace of its own: nobody else ever has this mount, and it goes with its only process.
        run("unshare", "--mount", "--propagation", "private", "sh", "-ec",
            'mount -o loop "$1" "$2"; head -c "$3" /dev/zero > "$2/lun"; umount "$2"', "sh", image, mountpoint,
            str(pool.lun_mib << 20))


def make_blank(image, size):
    with open(image, "wb") as file:
        file.truncate(size)


def attach(image):
    return run("losetup", "--find", "--show", image).strip()


def backing_file(device):
    try:
        with open(f"/sys/block/{os.path.basename(device)}/loop/backing_file", encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def detach(device):
    """Harmless where it is detached already."""
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.ioctl(fd, LOOP_CLR_FD)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise WorldError(f"detaching {device}: {error.strerror}") from error
    finally:
        os.close(fd)


def set_reachable(device, reachable):
    """Whether this one of an image's devices gives anything of it: where not, its size is none, a read has nothing and a
    write no room, also for who has it open."""
    size = os.stat(backing_file(device)).st_size
    info = bytearray(LOOP_INFO64_BYTES)
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, LOOP_GET_STATUS64, info)
        struct.pack_into("<Q", info, LOOP_INFO64_OFFSET, 0 if reachable else size)
        fcntl.ioctl(fd, LOOP_SET_STATUS64, bytes(info))
    finally:
        os.close(fd)


def attached_below(folder):
    """The loop devices whose backing file is below `folder`."""
    found = []
    for entry in glob.glob("/sys/block/loop*/loop/backing_file"):
        device = "/dev/" + entry.split("/")[3]
        if (backing_file(device) or "").startswith(folder + "/"):
            found.append(device)
    return found


def superblock(pool, device):
    return f"/sys/fs/{pool.filesystem}/{os.path.basename(device)}"


def in_use(device):
    """True while the kernel or a process has the device for itself."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise WorldError(f"opening {device}: {error.strerror}") from error
    return False


def shut_down_file_system(path):
    """What a power failure does to a file system: nothing more reaches the disk. `path` is its mount point."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, SHUTDOWN_WITHOUT_FLUSH.to_bytes(4, "little"))
    finally:
        os.close(fd)
