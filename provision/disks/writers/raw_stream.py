"""A disk as a stream of raw bytes, zeros and all: for clouds that take nothing else."""

from collections.abc import Iterator

from provision.disks.extents import Disk
from provision.disks.pipeline import BATCH, Read, batches, in_order, pieces, read
from provision.disks.unpack import Buffer, unpacked
from provision.disks.writers.qcow2 import Stream

_ZEROS = bytes(BATCH)


def stream_raw(disk: Disk) -> Stream:
    """Every byte of `disk`, in order."""
    return Stream(disk.size, lambda: _chunks(disk))


def _chunks(disk: Disk) -> Iterator[bytes]:
    extents = sorted(disk.extents(), key=lambda extent: extent.offset)
    lots = (read(batch) for batch in batches(pieces(extents, BATCH), 1))
    end = 0
    for lot in in_order(_unpacked, lots):
        for offset, content in lot:
            yield from _zeros(offset - end)
            yield bytes(content)
            end = offset + len(content)
    yield from _zeros(disk.size - end)


def _unpacked(batch: list[Read]) -> list[tuple[int, Buffer]]:
    return [(extent.offset, unpacked(extent, packed)) for extent, packed in batch]


def _zeros(length: int) -> Iterator[bytes]:
    for done in range(0, length, BATCH):
        yield _ZEROS[: min(BATCH, length - done)]
