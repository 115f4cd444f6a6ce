"""A VMDK whose data lie in other files: monolithicFlat, twoGbMaxExtentSparse and twoGbMaxExtentFlat.

A descriptor is a list of file names, and people open descriptors that others wrote. So a name is only ever looked for
beside the descriptor, no link is followed, and what is there must be what the descriptor says: never a file of some
other kind that would then stand in the disk to be read. See VMware's "Virtual Disk Format 5.0".
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import gcd
from pathlib import Path

from provision.disks.extents import SECTOR, Disk, Extent
from provision.disks.formats.descriptor import COPY, DESCRIPTOR_LIMIT, DESCRIPTOR_MAGIC, DescribedExtent, parse
from provision.disks.formats.qcow2 import QCOW2_MAGIC
from provision.disks.formats.raw import UNIT, read_raw
from provision.disks.formats.vdi import VDI_MAGIC
from provision.disks.formats.vmdk import read_sparse
from provision.disks.formats.vmdk_tables import MAGIC
from provision.disks.window import AGAIN, FileWindow, opened_file
from provision.errors import InvalidInputError

_KINDS = ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")
_CONTAINERS = ((0, MAGIC), (0, QCOW2_MAGIC), (64, VDI_MAGIC), (0, DESCRIPTOR_MAGIC))


@contextmanager
def read_flat(path: Path) -> Iterator[tuple[Disk, tuple[int, ...]]]:
    """The disk that the descriptor at `path` describes, and its open files, as long as the context lasts.

    Raises InvalidInputError unless each of its files is beside it, and is what it should be.
    """
    with ExitStack() as stack:
        window = stack.enter_context(opened_file(path))
        if window.size > DESCRIPTOR_LIMIT:
            raise InvalidInputError(f"{window.name} goes on behind byte {DESCRIPTOR_LIMIT}: it is no descriptor.")
        # Names are bytes to the file system: those that are no UTF-8 are kept as they are.
        text = window.pread(0, window.size).decode(errors="surrogateescape")
        found = parse(text, window.name)
        if found.create_type not in _KINDS:
            raise InvalidInputError(
                f"{window.name} is a VMDK of type {found.create_type[:40]!r}, not a known one.", hint=COPY
            )
        parts: list[tuple[int, int, Disk]] = []
        files: list[int] = []
        start = 0
        for extent in found.extents:
            size = extent.sectors * SECTOR
            if extent.kind != "ZERO":
                window = stack.enter_context(_beside(path, extent.file))
                files.append(window.file)
                parts.append((start, size, _read(window, extent, size)))
            start += size
        yield _joined(f"VMDK {found.create_type}", start, parts), tuple(files)


def _joined(form: str, size: int, parts: list[tuple[int, int, Disk]]) -> Disk:
    """The disk of which each part (its start, its size, what it is read from) follows the one before."""

    def extents() -> Iterator[Extent]:
        for start, most, disk in parts:
            for extent in disk.extents():
                length = min(extent.length, most - extent.offset)
                if length > 0:
                    yield extent._replace(offset=start + extent.offset, length=length, size=length)

    unit = gcd(UNIT, *(start for start, _, _ in parts), *(disk.unit for _, _, disk in parts))
    return Disk(form, size, sum(disk.stored for _, _, disk in parts), extents, unit)


@contextmanager
def _beside(descriptor: Path, name: str) -> Iterator[FileWindow]:
    """The ordinary file `name`, and nothing that it links to, in the descriptor's folder."""
    shown = os.fsencode(name).decode(errors="replace")
    try:
        file = os.open(descriptor.parent / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as exc:
        raise InvalidInputError(
            f"{descriptor.name} needs the file {shown} beside it, which cannot be read: {exc.strerror}.",
            hint="Keep the descriptor and all its files in one folder, under the names that they were written with.",
        ) from exc
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise InvalidInputError(f"{descriptor.name} names {shown}, which is no ordinary file.", hint=COPY)
        yield FileWindow(shown, facts.st_size, file)
    finally:
        os.close(file)


def _read(window: FileWindow, extent: DescribedExtent, size: int) -> Disk:
    """The part of the disk, of `size` bytes, that `extent` describes, in the file that it names."""
    if extent.kind == "SPARSE":
        disk = read_sparse(window, "VMDK sparse extent")
        # VirtualBox rounds a sparse extent's own size up to whole grains.
        if not 0 <= disk.size - size < disk.unit:
            raise InvalidInputError(
                f"{window.name} has {disk.size} bytes of the disk, and should have {size}.", hint=COPY
            )
        return disk
    for place, magic in _CONTAINERS:
        if window.size >= place + len(magic) and window.pread(place, len(magic)) == magic:
            raise InvalidInputError(
                f"{window.name} is named as a disk's plain data, and is a disk file itself (byte {place}).", hint=COPY
            )
    if extent.offset * SECTOR + size > window.size:
        raise InvalidInputError(
            f"{window.name} is cut off: the disk's data end at byte {extent.offset * SECTOR + size}, "
            f"and the file at {window.size}.",
            hint=AGAIN,
        )
    return read_raw(window.part(window.name, extent.offset * SECTOR, size))
