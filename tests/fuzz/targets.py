"""What is fuzzed, and what must hold of it: it returns, or says that the input is wrong, and never anything else."""

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from provision.disks.extents import Disk, Packing
from provision.disks.formats.descriptor import parse
from provision.disks.formats.qcow2 import read_qcow2
from provision.disks.formats.raw import read_raw
from provision.disks.formats.vdi import read_vdi
from provision.disks.formats.vmdk import read_vmdk
from provision.disks.inside.bootloader import read_bootloaders
from provision.disks.inside.ext4 import read_ext4
from provision.disks.inside.ext4_tree import Tree
from provision.disks.inside.fat import names
from provision.disks.inside.fat import read_fat as fat_in
from provision.disks.inside.filesystems import read_filesystem
from provision.disks.inside.lvm import checksum, read_volumes
from provision.disks.inside.partitions import read_partitions
from provision.disks.inside.view import View
from provision.disks.source import opened
from provision.disks.unpack import content
from provision.disks.window import FileWindow
from provision.disks.writers.qcow2 import encoding, write_qcow2
from provision.disks.writers.raw import write_raw
from provision.errors import InvalidInputError
from provision.guests.initrd import modules
from tests.disks.hostile.seeds import summed

BLOCK = 512
MOST = 2**24  # bytes of content that are read of one disk
FAT = 2**22  # bytes of a FAT filesystem: fewer are no FAT16
SMALL = 2**20  # bytes of a disk that is converted
NAMES = 20_000  # names of one initrd or folder


@contextmanager
def window(whole: bytes, size: int = 0) -> Iterator[FileWindow]:
    """A file with `whole` in it, and zeros behind it up to `size` bytes."""
    file, size = os.memfd_create("fuzzed"), max(size, len(whole))
    try:
        os.write(file, whole)
        os.ftruncate(file, size)
        yield FileWindow("fuzzed", size, file)
    finally:
        os.close(file)


def assert_sound(disk: Disk) -> None:
    """The extents are what provision.disks.extents promises, and have content, of which some is read."""
    read, runs = 0, []
    for extent in disk.extents():
        assert extent.offset >= 0
        assert extent.length > 0
        assert extent.offset + extent.length <= disk.size
        assert 0 <= extent.place <= extent.place + extent.size <= extent.window.size
        assert extent.packing is not Packing.STORED or extent.size == extent.length
        runs.append((extent.offset, extent.length))
        if read + extent.length <= MOST:
            assert len(content(extent)) == extent.length
            read += extent.length
    end = 0
    for offset, length in sorted(runs):
        assert offset >= end
        end = offset + length


def reader(read: Callable[[FileWindow], Disk]) -> Callable[[bytes], None]:
    def target(whole: bytes) -> None:
        with window(whole) as each:
            assert_sound(read(each))

    return target


def conversion(whole: bytes) -> None:
    """What is written as qcow2, wrapped or packed anew, is read as what is written as raw."""
    with window(whole) as each, opened(Path(f"/proc/self/fd/{each.file}")) as source, window(b"") as raw:
        if source.disk.size > SMALL:
            return
        write_raw(source.disk, raw.file)
        for packing in (None, Packing.DEFLATE):
            with window(b"") as qcow2, window(b"") as again:
                write_qcow2(source.disk, qcow2.file, encoding(source.disk, packing))
                write_raw(read_qcow2(replace(qcow2, size=os.fstat(qcow2.file).st_size)), again.file)
                assert os.pread(raw.file, SMALL, 0) == os.pread(again.file, SMALL, 0)


def descriptor(whole: bytes) -> None:
    found = parse(whole.decode(errors="surrogateescape"), "fuzzed")
    for extent in found.extents:
        assert not set(extent.file) & set("/\\\0")
        assert extent.file not in (".", "..")


def archive(whole: bytes) -> None:
    """A file of any kind, through the front door; the sums of tar headers are made right, or none would be passed."""
    fixed = bytearray(whole)
    for place in range(0, len(fixed) - BLOCK + 1, BLOCK):
        if fixed[place + 257 : place + 262] == b"ustar":
            fixed[place : place + BLOCK] = summed(fixed[place : place + BLOCK])
    forms = [bytes(fixed), gzip.compress(fixed, 1)] if fixed[257:262] == b"ustar" else [bytes(fixed)]
    for form in forms:
        with window(form) as each, opened(Path(f"/proc/self/fd/{each.file}")) as source:
            assert_sound(source.disk)


def zipped(whole: bytes) -> None:
    with window(b"\x1f\x8b" + whole) as each, opened(Path(f"/proc/self/fd/{each.file}")) as source:
        assert_sound(source.disk)


def partitions(whole: bytes) -> None:
    with window(whole[: len(whole) // BLOCK * BLOCK]) as each:
        view = View(read_raw(each))
        table = read_partitions(view)
        for partition in table.partitions:
            assert 0 <= partition.start <= partition.start + partition.size
        read_bootloaders(view, table)


def filesystem(whole: bytes) -> None:
    with window(whole) as each:
        found = read_filesystem(each.pread, each.size)
        assert found.free is None or found.size is None or 0 <= found.free <= found.size


def ext4(whole: bytes) -> None:
    with window(whole) as each:
        tree = Tree({"/": read_ext4(each.pread, each.size)})
        for folder in ("/", "/etc", "/etc/deep/deeper"):
            for name in tree.names(folder)[:50]:
                tree.read(f"{folder}/{name}", MOST)
        tree.read("/link", MOST)


def fat(whole: bytes) -> None:
    with window(whole, FAT) as each:
        found = fat_in(each.pread, each.size)
        names(found)
        names(found, "EFI")


def lvm(whole: bytes) -> None:
    """A physical volume; its checksums are made right, or none would be passed."""
    fixed = bytearray(whole.ljust(2**17, b"\0"))
    struct.pack_into("<I", fixed, 528, checksum(bytes(fixed[532:1024])))
    place, size = struct.unpack_from("<QQ", fixed, 4096 + 40)
    if place + size <= 4096:
        struct.pack_into("<I", fixed, 4096 + 56, checksum(bytes(fixed[4096 + place : 4096 + place + size])))
    struct.pack_into("<I", fixed, 4096, checksum(bytes(fixed[4100 : 4096 + 512])))
    with window(bytes(fixed)) as each:
        group = read_volumes(each, 0, each.size)
        for volume in group.volumes:
            for run in volume.runs:
                assert 0 <= run.place <= run.place + run.size <= each.size


def initrd(whole: bytes) -> None:
    for number, _ in enumerate(modules(whole[n : n + 5000] for n in range(0, len(whole), 5000))):
        if number > NAMES:
            break


TARGETS: dict[str, Callable[[bytes], None]] = {
    "vmdk": reader(read_vmdk),
    "vdi": reader(read_vdi),
    "qcow2": reader(read_qcow2),
    "conversion": conversion,
    "descriptor": descriptor,
    "archive": archive,
    "gzip": zipped,
    "partitions": partitions,
    "filesystem": filesystem,
    "ext4": ext4,
    "fat": fat,
    "lvm": lvm,
    "initrd": initrd,
}


def once(target: str, whole: bytes) -> bool:
    """Run a target; False if it says that the input is wrong. Anything else that it raises is a bug."""
    try:
        TARGETS[target](whole)
    except InvalidInputError:
        return False
    return True
