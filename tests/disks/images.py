"""Disks with known content, as files of every format, and the proof that they are read as they are."""

import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from provision.disks.extents import Disk, Packing
from provision.disks.source import opened
from provision.disks.writers.raw import write_raw
from tests.disks import virtualbox
from tests.disks.conftest import MIB, sh

GIB, TIB = 2**30, 2**40
SIGNATURE = (510, b"\x55\xaa")  # what shows a raw disk to be one


def content(seed: int, length: int) -> bytes:
    """Bytes of which each second 4 KiB are random and the others compress well."""
    source = random.Random(seed)  # noqa: S311  # no secret
    parts = [source.randbytes(4096), (b"%d words, " % seed * 500)[:4096]]
    return b"".join(parts[n % 2] for n in range(-(-length // 4096)))[:length]


def scattered(size: int, count: int, most: int) -> list[tuple[int, bytes]]:
    """`count` runs of up to `most` bytes all over a disk of `size` bytes, which ends in one."""
    source = random.Random(size)  # noqa: S311  # no secret
    places = [source.randrange((size - most) // 512) * 512 for _ in range(count)]
    runs = [(place, content(place, source.randrange(1, most // 512) * 512)) for place in places]
    return [*runs, (size - 512, b"\xee" * 512), SIGNATURE]


ODD = MIB + 3 * 512
DISKS: dict[str, tuple[int, list[tuple[int, bytes]]]] = {
    "0 bytes": (0, []),
    "1 sector": (512, [(0, content(1, 512)), SIGNATURE]),
    "odd size": (ODD, [(0, content(2, 70000)), (ODD - 9 * 512, content(3, 9 * 512)), SIGNATURE]),
    "zeros": (8 * MIB, []),
    "random": (4 * MIB, [(0, random.Random(4).randbytes(4 * MIB)), SIGNATURE]),  # noqa: S311  # no secret
    "64 GiB": (64 * GIB, scattered(64 * GIB, 24, MIB)),
    "2 TiB": (2 * TIB, scattered(2 * TIB, 8, MIB // 2)),
}


def raw_disk(path: Path, size: int, runs: Iterable[tuple[int, bytes]]) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
        for offset, chunk in runs:
            stream.seek(offset)
            stream.write(chunk)
    return path


def by_qemu(form: str, *options: str) -> Callable[[Path, Path], object]:
    return lambda raw, target: sh("qemu-img", "convert", "-f", "raw", "-O", form, *options, raw, target)


@dataclass(frozen=True)
class Format:
    """How a file of a format is made of a raw disk, what qemu-img calls it, and what we do."""

    form: str
    shown: str
    make: Callable[[Path, Path], object]
    several: bool = False  # it is several files


def vmdk(kind: str, *, several: bool = False) -> Format:
    return Format("vmdk", f"VMDK {kind}", by_qemu("vmdk", "-o", f"subformat={kind}"), several)


ZSTD = ("-c", "-o", "compression_type=zstd")
FORMATS = {
    "raw": Format("raw", "raw", lambda raw, target: sh("cp", "--sparse=always", raw, target)),
    "vdi": Format("vdi", "VDI", by_qemu("vdi")),
    "vdi-fixed": Format("vdi", "VDI (fixed)", by_qemu("vdi", "-o", "static=on")),
    "vdi-virtualbox": Format("vdi", "VDI", virtualbox.vdi),
    "qcow2-v2": Format("qcow2", "qcow2", by_qemu("qcow2", "-o", "compat=0.10")),
    "qcow2": Format("qcow2", "qcow2", by_qemu("qcow2")),
    "qcow2-zlib": Format("qcow2", "qcow2", by_qemu("qcow2", "-c")),
    "qcow2-zstd": Format("qcow2", "qcow2", by_qemu("qcow2", *ZSTD)),
    "vmdk-sparse": vmdk("monolithicSparse"),
    "vmdk-stream": vmdk("streamOptimized"),
    "vmdk-stream-virtualbox": Format("vmdk", "VMDK streamOptimized", virtualbox.stream_optimized),
    "vmdk-flat": vmdk("monolithicFlat", several=True),
    "vmdk-split-sparse": vmdk("twoGbMaxExtentSparse", several=True),
    "vmdk-split-flat": vmdk("twoGbMaxExtentFlat", several=True),
}


def assert_reads_as(raw: Path, source: Path, target: Path, form: str | None = None) -> tuple[str, str]:
    """The disk in `source` is, byte for byte, `raw`. Returns its container and format, as they are shown."""
    with opened(source, form) as found:
        assert found.disk.size == raw.stat().st_size
        assert_sound(found.disk)
        with target.open("wb") as stream:
            write_raw(found.disk, stream.fileno())
    assert target.stat().st_size == raw.stat().st_size
    assert digest(target) == digest(raw)
    if target.stat().st_size:  # qemu-img calls two files of 0 bytes different
        sh("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, target)
    target.unlink()
    return found.container, found.disk.format


def digest(raw: Path) -> str:
    """The hash of all that is not zero in a raw disk, and where it is: holes or none makes no difference."""
    found = hashlib.sha256()
    for number, chunk in virtualbox.pieces(raw, 4096):
        found.update(b"%d:" % number + chunk)
    return found.hexdigest()


def assert_sound(disk: Disk) -> None:
    """The extents keep what provision.disks.extents promises, at each pass."""
    extents = list(disk.extents())
    assert extents == list(disk.extents())
    end = 0
    for extent in sorted(extents, key=lambda extent: extent.offset):
        assert extent.offset >= end
        assert extent.length > 0
        end = extent.offset + extent.length
        assert extent.offset % disk.unit == 0
        assert extent.length % disk.unit == 0 or end == disk.size
        assert extent.place + extent.size <= extent.window.size
        assert extent.packing is not Packing.STORED or extent.size == extent.length
    assert end <= disk.size
    windows = [extent.window for extent in extents]
    for window in dict.fromkeys(windows):
        places = [extent.place for extent in extents if extent.window is window]
        assert places == sorted(places)


def changed(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(content)
