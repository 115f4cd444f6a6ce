"""Extents, read in order and worked on by every core, with a fixed bound on what is in memory at once."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple, TypeVar

from provision.disks.extents import Extent, Packing
from provision.disks.memory import keep_freed
from provision.disks.unpack import Buffer

BATCH = 2**20  # bytes of a batch, packed or unpacked
_GAP = 2**14  # bytes between two extents that are read with them rather than passed over
_VECTOR = 512  # buffers that are written at once; the system's limit is 1024
WORKERS = min(8, len(os.sched_getaffinity(0)))  # more would break the bound on memory

T = TypeVar("T")
R = TypeVar("R")


class Read(NamedTuple):
    """An extent, and the bytes of its window that it is made of."""

    extent: Extent
    packed: Buffer


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` on each of `items` in threads; the results in order. What is under way is finished if anything raises."""
    keep_freed()
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > WORKERS + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def worked(work: Callable[[list[Read]], R], lots: Iterable[list[Extent]]) -> Iterator[R]:
    """`work` in threads on the extents of each lot with their bytes; the results in order."""

    def job(lot: list[Extent]) -> Callable[[], R]:
        if all(extent.window.file is not None for extent in lot):
            return lambda: work(read(lot))
        found = read(lot)  # what is gzipped is read forward, by one thread
        return lambda: work(found)

    return in_order(lambda do: do(), map(job, lots))


def put(file: int, buffers: Sequence[Buffer], place: int) -> int:
    """Write all of `buffers` to `file` from byte `place` on; how many bytes that were."""
    total = 0
    for start in range(0, len(buffers), _VECTOR):
        some = buffers[start : start + _VECTOR]
        written, wanted = os.pwritev(file, some, place + total), sum(map(len, some))
        rest = memoryview(b"".join(some))[written:] if written < wanted else memoryview(b"")
        total += wanted
        while rest:  # a signal, or a full disk: which, the next write tells
            rest = rest[os.pwrite(file, rest, place + total - len(rest)) :]
    return total


def pieces(extents: Iterable[Extent], length: int) -> Iterator[Extent]:
    """The same, with what is stored as it is cut at every multiple of `length` bytes of the disk."""
    for extent in extents:
        if extent.packing is not Packing.STORED:
            yield extent
            continue
        begin = 0
        while begin < extent.length:
            end = min(extent.length, begin + length - (extent.offset + begin) % length)
            yield extent.part(begin, end)
            begin = end


def batches(extents: Iterable[Extent], cluster: int) -> Iterator[list[Extent]]:
    """Extents in groups of about a MiB, unpacked; none ends within a cluster that the next has a part of."""
    batch: list[Extent] = []
    total = 0
    for extent in pieces(extents, BATCH):
        if total >= BATCH and (batch[-1].offset + batch[-1].length - 1) // cluster != extent.offset // cluster:
            yield batch
            batch, total = [], 0
        batch.append(extent)
        total += extent.length
    if batch:
        yield batch


def read(batch: Sequence[Extent]) -> list[Read]:
    """The extents with their bytes, read at once where they follow one another closely."""
    first, last = batch[0], batch[-1]
    if all(one.window is two.window and 0 <= two.place - one.place - one.size < _GAP for one, two in pairwise(batch)):
        start = first.place
        span = memoryview(first.window.pread(start, last.place + last.size - start))
        return [Read(extent, span[extent.place - start : extent.place - start + extent.size]) for extent in batch]
    return [Read(extent, extent.window.pread(extent.place, extent.size)) for extent in batch]
