"""Writing a disk as a sparse raw file: only its data, and shared with the source where the file system can."""

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial

from provision.disks.extents import Disk, Extent, Packing
from provision.disks.pipeline import BATCH, Read, batches, in_order, pieces, put, read
from provision.disks.unpack import Buffer, unpacked

_STEP = 2**25  # bytes that the kernel is asked to copy at once
_LOT = 16  # extents that are handed to a thread together
_ZEROS = bytes(2**21)
# What a kernel or a file system says that cannot copy between these two files by itself.
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def write_raw(disk: Disk, file: int) -> None:
    """Write `disk` to the empty `file`."""
    os.ftruncate(file, disk.size)
    for _ in in_order(lambda job: job(), _jobs(disk, file)):
        pass


def _jobs(disk: Disk, file: int) -> Iterator[Callable[[], None]]:
    """What there is to do, a piece at a time."""
    lot: list[Extent] = []
    for extent in disk.extents():
        source = extent.window.file
        if extent.packing is Packing.STORED and source is not None:
            yield from (partial(share, piece, source, file) for piece in pieces([extent], _STEP))
            continue
        lot.append(extent)
        if len(lot) >= _LOT:
            yield from (partial(_put, read(batch), file) for batch in batches(lot, 1))
            lot = []
    yield from (partial(_put, read(batch), file) for batch in batches(lot, 1))


def _put(batch: list[Read], file: int) -> None:
    """Unpack a batch and write it, what follows one another in one go, without what is all zeros."""
    start = end = 0
    joined: list[Buffer] = []
    for extent, packed in batch:
        content = unpacked(extent, packed)
        if content == _ZEROS[: extent.length]:
            continue
        if joined and extent.offset != end:
            put(file, joined, start)
            joined = []
        if not joined:
            start = extent.offset
        joined.append(content)
        end = extent.offset + extent.length
    put(file, joined, start)


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
