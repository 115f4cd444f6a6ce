"""A raw disk: its bytes as they are. What is not there are the file's holes."""

import errno
import os
from collections.abc import Iterator
from functools import partial

from provision.disks.extents import LARGEST, SECTOR, Disk, Extent, Packing
from provision.disks.window import Window
from provision.errors import InvalidInputError

UNIT = 2**16  # bytes; what is compared with zeros at once where there are no holes to ask for
_ZEROS = bytes(UNIT)


def read_raw(window: Window) -> Disk:
    """The raw disk in `window`. Raises InvalidInputError if it is no whole number of sectors."""
    if window.size % SECTOR:
        raise InvalidInputError(
            f"{window.name} is no raw disk: its size of {window.size} bytes is no multiple of {SECTOR}.",
            hint="If it is one, fetch it again: its end is missing.",
        )
    if window.size > LARGEST:
        raise InvalidInputError(f"{window.name} is no raw disk: {window.size} bytes are more than a disk's {LARGEST}.")
    unit = UNIT if window.file is None else SECTOR
    return Disk("raw", window.size, on_disk(window), partial(_extents, window), unit)


def _extents(window: Window) -> Iterator[Extent]:
    if window.file is None:
        return _not_zero(window)
    return without_holes(iter([Extent(0, window.size, window, 0, window.size)]), SECTOR)


def _not_zero(window: Window) -> Iterator[Extent]:
    for place in range(0, window.size, UNIT):
        length = min(UNIT, window.size - place)
        if window.pread(place, length) != _ZEROS[:length]:
            yield Extent(place, length, window, place, length)


def without_holes(extents: Iterator[Extent], unit: int) -> Iterator[Extent]:
    """The same extents without what the file system knows to be zeros, in steps of `unit` bytes from their beginning.

    Disk files that were preallocated consist of holes for the most part. The extents come in the order of their places.
    """
    asked = start = end = 0  # the last answer: no data from `asked` to `start`, data from there to `end`
    for extent in extents:
        file, shift = extent.window.file, extent.window.base + extent.place
        if file is None or extent.packing is not Packing.STORED:
            yield extent
            continue
        done = 0
        while done < extent.size:
            if not asked <= shift + done < end:
                asked, (start, end) = shift + done, _run_of_data(file, shift + done)
            first = max(done, (start - shift) // unit * unit)
            last = min(extent.size, -(-(end - shift) // unit) * unit)
            if first < last:
                yield extent.part(first, last)
            done = max(first, last)


def on_disk(window: Window) -> int:
    """About how many bytes of `window` are no holes."""
    return window.size if window.file is None else min(window.size, os.fstat(window.file).st_blocks * SECTOR)


def _run_of_data(file: int, place: int) -> tuple[int, int]:
    """The first bytes from `place` on that are no hole: from, to. Both lie beyond the file if there are none."""
    try:
        start = os.lseek(file, place, os.SEEK_DATA)
        return start, os.lseek(file, start, os.SEEK_HOLE)
    except OSError as exc:
        if exc.errno != errno.ENXIO:
            raise InvalidInputError(f"The disk file cannot be read: {exc.strerror}.") from exc
        return 2**63, 2**63
