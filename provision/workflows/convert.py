"""The story of a conversion: the disk in any source, read where it lies, written as raw or qcow2, maybe shrunk."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from provision.disks.extents import Disk, Packing, watched
from provision.disks.formats.raw import read_raw
from provision.disks.resize.shrink import check_source, shrink
from provision.disks.source import opened
from provision.disks.target import completed, scratch
from provision.disks.window import opened_file
from provision.disks.writers.qcow2 import Encoding, encoding, write_qcow2
from provision.disks.writers.raw import write_raw
from provision.disks.writers.raw_stream import stream_raw
from provision.progress import Phase, Progress, amount

GIB = 2**30
HEADROOM = GIB // 2  # bytes free on the smallest disk; a larger one is grown into at boot
PACKINGS = {"zlib": Packing.DEFLATE, "zstd": Packing.ZSTD, "none": Packing.STORED}


@dataclass(frozen=True)
class Wish:
    """What a conversion should make: `form` raw or qcow2.

    `packing` says how to pack a qcow2 anew; None wraps what can be wrapped. `headroom` in bytes is what a shrunk disk
    has free; None does not shrink. `verify` inflates every grain that is wrapped.
    """

    form: str = "qcow2"
    packing: Packing | None = None
    headroom: int | None = None
    verify: bool = True


def convert_image(source: Path, target: Path, wish: Wish, progress: Progress, *, form: str | None = None) -> None:
    """Convert the disk in `source` to `target`, which appears only when complete; `form` says what `source` is."""
    with opened(source, form) as found, completed(target, found.files) as (path, file):
        if wish.headroom is not None:
            check_source(found.disk)
        how = None if wish.form == "raw" else encoding(found.disk, wish.packing, verify=wish.verify)
        if wish.headroom is None:
            write(found.disk, file, how, progress)
        elif how is None:
            write(found.disk, file, None, progress)
            shrunk(path, wish.headroom, progress)
        else:
            with scratch(path) as folder:
                raw = folder / "disk"
                with raw.open("xb+") as stream:
                    write(found.disk, stream.fileno(), None, progress)
                shrunk(raw, wish.headroom, progress)
                with opened_file(raw) as changed:
                    write(found.disk, file, replace(how, changed=changed), progress)


def write(disk: Disk, file: int, how: Encoding | None, progress: Progress) -> None:
    """Write `disk` to the empty `file`, as raw if `how` is None."""
    form = "raw" if how is None else "qcow2"
    verb = "Wrapping" if how and how.wrap else "Converting"
    with progress.phase(f"{verb} {disk.format} to {form}") as phase:
        disk = watched(disk, in_bytes(phase))
        if how is None:
            write_raw(disk, file)
        else:
            write_qcow2(disk, file, how)
        size = how.changed.size if how and how.changed else disk.size
        phase.result(f"{amount(size)} disk, {amount(os.fstat(file).st_blocks * 512)} written")


def shrunk(raw: Path, headroom: int, progress: Progress) -> int:
    """Shrink the raw disk `raw` in place, leaving `headroom` bytes free; its new size."""
    with progress.phase("Shrinking the disk") as phase:
        before, after = raw.stat().st_size, shrink(raw, headroom=headroom)
        phase.result(f"{amount(before)} to {amount(after)}")
    return after


def sum_of(path: Path, progress: Progress) -> str:
    """The SHA-256 of a disk file, in hex."""
    digest, done = hashlib.sha256(), 0
    with progress.phase("Summing") as phase, opened_file(path) as window:
        for chunk in stream_raw(read_raw(window)).chunks():  # holes are not read
            digest.update(chunk)
            done += len(chunk)
            phase.update(done, window.size, "bytes")
    return digest.hexdigest()


def in_bytes(phase: Phase) -> Callable[[int, int], None]:
    """What tells `phase` the bytes that are done and their total."""
    return lambda done, total: phase.update(done, total, "bytes")
