"""Libraries that inflate, side by side on the grains and on the gzip layer of a real box."""

import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from provision.disks.source import opened

GRAIN = 2**16
_KEPT = 2**28  # bytes of grains that are inflated again and again, from memory
_READ = 2**18

Inflate = Callable[[bytes], object]

# How each library is called: the module, and what inflates a grain with it.
LIBRARIES: dict[str, tuple[str, Callable[[Any], Inflate]]] = {
    "libdeflate": ("deflate", lambda module: lambda grain: module.zlib_decompress(grain, GRAIN)),
    "isal": ("isal.isal_zlib", lambda module: module.decompress),
    "zlib-ng": ("zlib_ng.zlib_ng", lambda module: module.decompress),
    "zlib": ("zlib", lambda module: module.decompress),
}


def grains(box: Path) -> Iterator[bytes]:
    """Grains from all over the box, `_KEPT` bytes of them in all."""
    with opened(box) as source:
        every, left = 1 + source.disk.stored // _KEPT, _KEPT
        for number, extent in enumerate(source.disk.extents()):
            if number // 64 % every == 0 and left > 0:
                left -= extent.size
                yield extent.window.pread(extent.place, extent.size)


def on_grains(box: Path, repeat: int) -> dict[str, tuple[float, float] | None]:
    """GiB of the disk inflated in a second, by one thread and by two; None for a library that is not installed."""
    lot = list(grains(box))
    amount = len(lot) * GRAIN / 2**30
    inflates = {name: _inflate(name) for name in LIBRARIES}
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeat):
        for name, inflate in inflates.items():
            for threads in (1, 2):
                if inflate:
                    seconds.setdefault((name, threads), []).append(_timed(inflate, lot, threads))
    return {
        name: (
            amount / statistics.median(seconds[name, 1]),
            amount / statistics.median(seconds[name, 2]),
        )
        if inflate
        else None
        for name, inflate in inflates.items()
    }


def on_gzip(box_gz: Path, repeat: int) -> dict[str, tuple[float] | None]:
    """GiB of a gzipped box read and inflated in a second, by one thread as a stream."""
    names = [name for name in LIBRARIES if name != "libdeflate"]  # which knows no streams
    modules = {name: _module(name) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeat):
        for name, module in modules.items():
            if module:
                rates[name].append(_streamed(module, box_gz))
    return {name: (statistics.median(found),) if found else None for name, found in rates.items()}


def _module(name: str) -> Any:
    try:
        return import_module(LIBRARIES[name][0])
    except ImportError:
        return None


def _inflate(name: str) -> Inflate | None:
    module = _module(name)
    return LIBRARIES[name][1](module) if module else None


def _timed(inflate: Inflate, lot: list[bytes], threads: int) -> float:
    def work(part: list[bytes]) -> None:
        for grain in part:
            inflate(grain)

    with ThreadPoolExecutor(threads) as pool:
        started = time.monotonic()
        list(pool.map(work, [lot[first::threads] for first in range(threads)]))
        return time.monotonic() - started


def _streamed(module: Any, box_gz: Path) -> float:
    inflate, done = module.decompressobj(16 + zlib.MAX_WBITS), 0
    started = time.monotonic()
    with box_gz.open("rb") as stream:
        while packed := stream.read(_READ):
            done += len(inflate.decompress(packed))
    return done / 2**30 / (time.monotonic() - started)
