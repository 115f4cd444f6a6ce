"""What every reader yields: where a disk has data and where that lies in the source. Zeros are never mentioned."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from provision.disks.window import AGAIN, Window
from provision.errors import InvalidInputError

SECTOR = 512
LARGEST = 2**46  # bytes of a disk: 64 TiB. What says more is no machine's disk, and would cost memory for its tables
_TELL = 2**22  # bytes between two reports


class Packing(Enum):
    """How an extent's content lies in the source."""

    STORED = "as it is"
    ZLIB = "zlib"  # RFC 1950: a VMDK's grain
    DEFLATE = "deflate"  # RFC 1951: a qcow2's cluster
    ZSTD = "zstd"


class Extent(NamedTuple):
    """`length` bytes of a disk from byte `offset` on; in `window` they are `size` bytes from `place` on.

    `size` is `length` where the content is stored as it is. `whole` is what packed content may inflate to: more than
    `length` where it reaches beyond the disk's end; 0 is `length`.
    """

    offset: int
    length: int
    window: Window
    place: int
    size: int
    packing: Packing = Packing.STORED
    whole: int = 0

    def part(self, begin: int, end: int) -> "Extent":
        """Of an extent that is stored as it is, the bytes from `begin` to `end`."""
        size = end - begin
        return self._replace(offset=self.offset + begin, length=size, place=self.place + begin, size=size)


@dataclass(frozen=True)
class Disk:
    """A disk that can be read: `format` as people call it, `size` in bytes as a machine would see it.

    `extents()` begins a pass over the data, in the order of the source. Extents never overlap and lie within the disk;
    a pass that ends without InvalidInputError has checked every map in the source. `stored` is about how many bytes of
    the source a pass reads, for progress. Every extent begins at a multiple of `unit` bytes in the disk and, except at
    the disk's end, is a multiple of it long.
    """

    format: str
    size: int
    stored: int
    extents: Callable[[], Iterator[Extent]]
    unit: int = SECTOR
    window: Window | None = None  # of a streamOptimized VMDK: what can be wrapped as it is


def watched(disk: Disk, on_bytes: Callable[[int, int], None]) -> Disk:
    """The same disk; now and then `on_bytes` is told how many bytes of the source a pass has read, and their total."""

    def extents() -> Iterator[Extent]:
        done = told = 0
        for extent in disk.extents():
            yield extent
            done += extent.size
            if done - told > _TELL:
                told = done
                on_bytes(min(done, disk.stored), disk.stored)

    return replace(disk, extents=extents)


def apart(window: Window, runs: Iterable[tuple[int, int]]) -> None:
    """Raise InvalidInputError unless the runs (place, length) in `window`, sorted, lie within it and do not overlap."""
    end = 0
    for place, length in runs:
        if place + length > window.size:
            raise InvalidInputError(
                f"{window.name} is cut off or wrong: data at byte {place} reach beyond its end at {window.size}.",
                hint=AGAIN,
            )
        if place < end:
            raise InvalidInputError(f"{window.name} is wrong: two things lie at byte {place}.", hint=AGAIN)
        end = place + length
