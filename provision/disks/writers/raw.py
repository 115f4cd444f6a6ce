"""Writing a disk as a sparse raw file: only its data, and shared with the source where the file system can."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from ctypes import CDLL, c_int, c_int64

from provision.disks.extents import Disk, Extent, Packing
from provision.disks.formats.raw import UNIT
from provision.disks.pipeline import BATCH, Read, batches, pieces, put, worked
from provision.disks.unpack import Buffer, unpacked

STEP = 2**25  # bytes that the kernel is asked to copy at once: it cannot be stopped within
_ZEROS = bytes(2**21)
_GLANCE = 64  # bytes
_PUNCH = 3  # FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE: fallocate(2), which Python does not have
_fallocate = CDLL(None).fallocate
_fallocate.argtypes = (c_int, c_int, c_int64, c_int64)
_CLONE = 0x4020940D  # FICLONERANGE: ioctl_ficlonerange(2)
# What a kernel or a file system says that cannot copy between these two files by itself.
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def write_raw(disk: Disk, file: int) -> None:
    """Write `disk` to the empty `file`.

    Threads unpack and this one writes: the kernel lets no two write to a file at once, and who waits for that spins.
    """
    os.ftruncate(file, disk.size)
    for runs in worked(_joined, batches(_shared(disk.extents(), file), 1)):
        for start, contents in runs:
            put(file, contents, start)


def _shared(extents: Iterable[Extent], file: int) -> Iterator[Extent]:
    """Have the kernel copy what is stored as it is, and make holes of zeros; the other extents."""
    for extent in extents:
        source = extent.window.file
        if extent.packing is not Packing.STORED or source is None:
            yield extent
        elif not _cloned(extent, source, file):
            for piece in pieces([extent], STEP):
                share(piece, source, file)
                _dig(piece, source, file)


def _cloned(extent: Extent, source: int, file: int) -> bool:
    """True if the two files could be made to share the blocks of a stored extent: then zeros cost nothing either."""
    place = extent.window.base + extent.place
    try:
        fcntl.ioctl(file, _CLONE, struct.pack("qQQQ", source, place, extent.length, extent.offset))
    except OSError:
        return False
    return True


def _dig(extent: Extent, source: int, file: int) -> None:
    """Make holes of the zeros in a stored extent that was just copied. Where that cannot be, they stay.

    The first bytes of a block tell nearly always: to look at them costs 3 % of a copy. To do so before it would be
    random reading to the kernel, which makes a copy of what is not in memory slower by a fifth.
    """
    place = extent.window.base + extent.place
    for done in range(0, extent.size, UNIT):
        if os.pread(source, _GLANCE, place + done) == _ZEROS[:_GLANCE]:
            size = min(UNIT, extent.size - done)
            if os.pread(source, size, place + done) == _ZEROS[:size]:
                _fallocate(file, _PUNCH, extent.offset + done, size)


def _joined(lot: list[Read]) -> list[tuple[int, list[Buffer]]]:
    """The contents of a lot without what is all zeros: of each run its place on the disk, and its pieces."""
    runs: list[tuple[int, list[Buffer]]] = []
    end = -1
    for extent, packed in lot:
        content = unpacked(extent, packed)
        # The first bytes tell nearly always: to cut as many zeros as there is content costs as much as a copy of it.
        if content[:_GLANCE] == _ZEROS[:_GLANCE] and content == _ZEROS[: extent.length]:
            continue
        if extent.offset != end:
            runs.append((extent.offset, []))
        runs[-1][1].append(content)
        end = extent.offset + extent.length
    return runs


def share(extent: Extent, source: int, file: int) -> None:
    """Let the kernel copy a stored extent: on XFS and btrfs the two files then share its blocks."""
    done, place = 0, extent.window.base + extent.place
    while done < extent.length:
        try:
            count = os.copy_file_range(source, file, extent.length - done, place + done, extent.offset + done)
        except OSError as exc:
            if exc.errno not in _CANNOT:
                raise
            count = 0
        if not count:
            rest = extent.window.pread(extent.place + done, min(BATCH, extent.length - done))
            put(file, [rest], extent.offset + done)
            count = len(rest)
        done += count
