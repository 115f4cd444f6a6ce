"""Whatever is written is what was read: raw and every qcow2, by QEMU's own reading of it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.disks.extents import Disk, Extent, Packing
from provision.disks.source import opened
from provision.disks.window import FileWindow, opened_file
from provision.disks.writers.qcow2 import Encoding, encoding, stream_qcow2, write_qcow2
from provision.disks.writers.raw import write_raw
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh

SECTOR = 512
PACKINGS = [Packing.STORED, Packing.DEFLATE, Packing.ZSTD]


def noise(size: int, seed: bytes = b"") -> bytes:
    return hashlib.shake_128(b"noise" + seed).digest(size)


def written(disk: Disk, target: Path, how: Encoding | None) -> Path:
    with target.open("w+b") as stream:
        if how is None:
            write_raw(disk, stream.fileno())
        else:
            write_qcow2(disk, stream.fileno(), how)
    return target


def same(raw: Path, qcow2: Path) -> bool:
    sh("qemu-img", "check", "-q", "-f", "qcow2", qcow2)
    return "identical" in sh("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, qcow2)


@contextmanager
def vmdk(content: bytes, folder: Path) -> Iterator[Disk]:
    """`content` as a streamOptimized VMDK."""
    raw, made = folder / "content.raw", folder / "content.vmdk"
    raw.write_bytes(content)
    sh("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, made)
    with opened(made) as found:
        yield found.disk


SIZES = {
    "one sector": noise(SECTOR),
    "zeros": bytes(3 * MIB),
    "noise": noise(3 * MIB),
    "half a grain at the end": noise(MIB) + bytes(MIB) + b"end " * 12288 + noise(SECTOR),
    "odd": bytes(MIB) + noise(MIB + 3 * SECTOR),
}


@pytest.mark.parametrize("case", SIZES)
def test_wrapped(case: str, tmp_path: Path) -> None:
    with vmdk(SIZES[case], tmp_path) as disk:
        assert encoding(disk).wrap
        assert same(tmp_path / "content.raw", written(disk, tmp_path / "target", encoding(disk)))
        assert written(disk, tmp_path / "raw", None).read_bytes() == SIZES[case]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("case", SIZES)
def test_packed_anew(case: str, packing: Packing, tmp_path: Path) -> None:
    with vmdk(SIZES[case], tmp_path) as disk:
        assert same(tmp_path / "content.raw", written(disk, tmp_path / "target", encoding(disk, packing)))


@pytest.mark.parametrize("how", [None, *PACKINGS])
def test_a_stream_is_as_long_as_it_says(how: Packing | None, tmp_path: Path) -> None:
    with vmdk(SIZES["half a grain at the end"], tmp_path) as disk:
        file = written(disk, tmp_path / "target", encoding(disk, how)).read_bytes()
        stream = stream_qcow2(disk, encoding(disk, how))
        sent = b"".join(stream.chunks())
        assert sent == b"".join(stream.chunks())
    assert len(sent) == stream.size <= len(file)
    assert how is None or sent == file  # a wrapped file has the VMDK's markers between the grains
    (tmp_path / "sent").write_bytes(sent)
    assert same(tmp_path / "content.raw", tmp_path / "sent")


def test_a_bad_grain_ends_a_stream(tmp_path: Path) -> None:
    with vmdk(noise(4 * MIB), tmp_path) as disk:
        place = next(disk.extents()).place + 2000
    with (tmp_path / "content.vmdk").open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\0\1\2\3")
    with opened(tmp_path / "content.vmdk") as found:
        body = stream_qcow2(found.disk, encoding(found.disk))
        with pytest.raises(InvalidInputError, match=f"at byte {place - 2000}"):
            sum(map(len, body.chunks()))


@pytest.mark.parametrize("fault", [InvalidInputError, KeyboardInterrupt])
def test_a_copy_ends_where_a_fault_is_found(fault: type[BaseException], tmp_path: Path) -> None:
    with vmdk(noise(MIB), tmp_path) as disk:
        sh("fallocate", "--length", "1G", tmp_path / "content.vmdk")

    def extents() -> Iterator[Extent]:
        raise fault("here")
        yield from disk.extents()

    with opened(tmp_path / "content.vmdk") as found, (tmp_path / "target").open("w+b") as target:
        with pytest.raises(fault, match="here"):
            write_qcow2(replace(found.disk, extents=extents), target.fileno(), encoding(found.disk))
        assert os.fstat(target.fileno()).st_size < 256 * MIB


@pytest.mark.parametrize("form", [["raw"], ["vdi", "-o", "static=on"], ["vmdk", "-o", "subformat=monolithicFlat"]])
def test_written_zeros_become_holes(form: list[str], tmp_path: Path) -> None:
    content = b"x" * 510 + b"\x55\xaa" + bytes(40 * MIB) + noise(70_000) + bytes(4 * MIB + SECTOR)
    content += (bytes(100) + b"some" * 103) * 200 + bytes(8 * MIB - len(content) % MIB)
    (tmp_path / "raw").write_bytes(content)
    # -S 0: zeros are written, and qemu-img convert leaves no hole
    sh("qemu-img", "convert", "-S", "0", "-f", "raw", "-O", *form, tmp_path / "raw", tmp_path / "source")
    with opened(tmp_path / "source") as found:
        copy = written(found.disk, tmp_path / "copy", None)
        plain = written(found.disk, tmp_path / "plain", encoding(found.disk, Packing.STORED))
    sh("qemu-img", "compare", "-f", "raw", "-F", "raw", tmp_path / "raw", copy)
    assert copy.stat().st_blocks * 512 < MIB
    assert same(tmp_path / "raw", plain)
    assert plain.stat().st_size < 2 * MIB


def test_what_changed_since_is_packed_and_the_rest_wrapped(tmp_path: Path) -> None:
    content = noise(8 * MIB) + bytes(8 * MIB)
    with vmdk(content, tmp_path) as disk:
        plain = written(disk, tmp_path / "plain", encoding(disk)).stat().st_size
        raw = bytearray(content[: 12 * MIB])  # shrunk by 4 MiB
        raw[MIB : MIB + 10] = b"overwritten"[:10]  # within a grain
        raw[2 * MIB : 3 * MIB] = bytes(MIB)  # freed
        raw[9 * MIB : 10 * MIB] = noise(MIB, b"moved")  # where there was nothing
        (tmp_path / "changed.raw").write_bytes(raw)
        with opened_file(tmp_path / "changed.raw") as changed:
            target = written(disk, tmp_path / "target", replace(encoding(disk), changed=changed))
    assert same(tmp_path / "changed.raw", target)
    assert abs(target.stat().st_size - plain) < 3 * 65536


RUNS = st.lists(st.tuples(st.integers(0, 999), st.integers(1, 300), st.booleans()), max_size=12)


@given(runs=RUNS, sectors=st.integers(1, 2000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_map_of_extents(runs: list[tuple[int, int, bool]], sectors: int, tmp_path: Path) -> None:
    """Extents of any place and length, in any order, of which some are zeros: every writer makes the same of it."""
    size, free = sectors * SECTOR, bytearray(b"\1" * sectors)
    source, expected, extents = bytearray(), bytearray(size), []
    window = FileWindow("source", 2**40, -1)
    for start, length, zeros in runs:
        end = min(start + length, sectors)
        if start >= sectors or not all(free[start:end]):
            continue
        free[start:end] = bytes(end - start)
        data = bytes((end - start) * SECTOR) if zeros else noise((end - start) * SECTOR, bytes([start % 256]))
        extents.append(Extent(start * SECTOR, len(data), window, len(source), len(data)))
        source += data
        expected[start * SECTOR : end * SECTOR] = data
    (tmp_path / "source").write_bytes(source)
    (tmp_path / "expected").write_bytes(expected)
    with opened_file(tmp_path / "source") as file:
        placed = [extent._replace(window=file) for extent in extents]
        disk = Disk("made up", size, len(source), lambda: iter(placed))
        assert written(disk, tmp_path / "raw", None).read_bytes() == expected
        for packing in PACKINGS:
            assert same(tmp_path / "expected", written(disk, tmp_path / "target", Encoding(packing)))


def test_holes_behind_a_vmdk_are_not_filled(tmp_path: Path) -> None:
    with vmdk(noise(MIB) + bytes(MIB), tmp_path):
        os.truncate(tmp_path / "content.vmdk", 2**40)
    with opened(tmp_path / "content.vmdk") as found:
        target = written(found.disk, tmp_path / "target", encoding(found.disk))
    assert target.stat().st_size < 2 * MIB
    assert same(tmp_path / "content.raw", target)


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_empty_disk(packing: Packing, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with opened(tmp_path / "empty", "raw") as found:
        assert same(tmp_path / "empty", written(found.disk, tmp_path / "target", Encoding(packing)))
        assert not written(found.disk, tmp_path / "raw", None).read_bytes()


def test_a_large_disk_costs_what_its_data_cost(tmp_path: Path) -> None:
    raw = tmp_path / "large.raw"
    with raw.open("wb") as stream:
        stream.truncate(2 * 2**40)
        for place in (0, 2**30, 2**40 + 12345 * SECTOR):
            stream.seek(place)
            stream.write(noise(MIB) if place else b"x" * 510 + b"\x55\xaa")
    with opened(raw) as found:
        target = written(found.disk, tmp_path / "target", Encoding())
        copy = written(found.disk, tmp_path / "copy", None)
    assert same(raw, target)
    assert target.stat().st_size < 4 * MIB
    assert copy.stat().st_blocks * 512 < 4 * MIB
