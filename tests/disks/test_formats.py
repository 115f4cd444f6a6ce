"""Every format, size and container is read byte for byte as qemu-img reads it."""

import io
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.disks.source import opened
from tests.disks.conftest import MIB, sh
from tests.disks.images import DISKS, FORMATS, assert_reads_as, raw_disk

# qemu-img cannot open a VMDK of 0 bytes that it made, and wants more open files than it may have for 1024 extents.
IMPOSSIBLE = {(name, "0 bytes") for name in FORMATS if name.startswith("vmdk") and "virtualbox" not in name} | {
    ("vmdk-split-sparse", "2 TiB"),
    ("vmdk-split-flat", "2 TiB"),
}
POSSIBLE = [(name, size) for name in FORMATS for size in DISKS if (name, size) not in IMPOSSIBLE]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """The disk of a name in DISKS, made once."""
    folder = tmp_path_factory.mktemp("raw")

    def make(name: str) -> Path:
        path = folder / f"{name}.raw"
        return path if path.exists() else raw_disk(path, *DISKS[name])

    yield make
    shutil.rmtree(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone after the test, not three runs later."""
    with TemporaryDirectory(dir=tmp_path) as name:
        yield Path(name)


@pytest.mark.parametrize(("name", "size"), POSSIBLE)
def test_format(name: str, size: str, raw: Callable[[str], Path], folder: Path) -> None:
    source = folder / "named.txt"
    FORMATS[name].make(raw(size), source)
    form = "raw" if name == "raw" and size in ("0 bytes", "zeros") else None
    assert assert_reads_as(raw(size), source, folder / "target", form) == ("file", FORMATS[name].shown)


@pytest.mark.parametrize("form", ["qcow2", "vdi"])
def test_neighbours_are_one_extent(form: str, tmp_path: Path) -> None:
    raw = raw_disk(tmp_path / "raw", 64 * MIB, [(n * MIB, b"x" * MIB) for n in (3, 4, 5, 9, 10)])
    sh("qemu-img", "convert", "-f", "raw", "-O", form, raw, tmp_path / "disk")
    with opened(tmp_path / "disk") as found:
        assert [(extent.offset, extent.length) for extent in found.disk.extents()] == [
            (3 * MIB, 3 * MIB),
            (9 * MIB, 2 * MIB),
        ]


CONTAINERS = {
    "box": ("w", ["./metadata.json", "./Vagrantfile", "./box.ovf"], "disk", []),
    "box.gz": ("w:gz", ["./metadata.json", "./Vagrantfile", "./box.ovf"], "disk", []),
    "box of before 2010": ("w:gz", [], "./box-disk001.vmdk", ["./box.ovf", "./Vagrantfile"]),
    "ova": ("w", ["machine.ovf"], "machine-disk001.vmdk", ["machine.mf"]),
}


def packed(source: Path, target: Path, mode: str, before: list[str], name: str, after: list[str]) -> Path:
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]  # the mode is a parameter
        for member in before:
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
        archive.add(source, name)
        for member in after:
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    return target


ALONE = [name for name, each in FORMATS.items() if not each.several]
CONTAINED = [(name, "odd size") for name in ALONE] + [
    (name, "64 GiB")
    for name in ALONE
    if name not in ("raw", "vdi-fixed")  # a tar would hold all their zeros
]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(("name", "size"), CONTAINED)
def test_container(name: str, container: str, size: str, raw: Callable[[str], Path], folder: Path) -> None:
    source = folder / "source"
    FORMATS[name].make(raw(size), source)
    archive = packed(source, folder / "archive", *CONTAINERS[container])
    kind = "ova" if container == "ova" else "box"
    assert assert_reads_as(raw(size), archive, folder / "target") == (kind, FORMATS[name].shown)


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
def test_vmdk_of_0_bytes(kind: str, folder: Path) -> None:
    sh("qemu-img", "create", "-q", "-f", "vmdk", "-o", f"subformat={kind}", folder / "source", "0")
    with opened(folder / "source") as found:
        assert (found.disk.size, [*found.disk.extents()]) == (0, [])


SECTORS = 5 * MIB // 512 + 3
RUNS = st.lists(
    st.tuples(st.integers(0, SECTORS - 1), st.integers(1, 1500), st.binary(min_size=1, max_size=3)), max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FORMATS)), sectors=st.integers(1, SECTORS), runs=RUNS)
def test_any_map(name: str, sectors: int, runs: list[tuple[int, int, bytes]], tmp_path: Path) -> None:
    with TemporaryDirectory(dir=tmp_path) as place:
        folder, size = Path(place), sectors * 512
        kept = [
            (start * 512, (word * 512 * count)[: min(512 * count, size - start * 512)]) for start, count, word in runs
        ]
        raw = raw_disk(folder / "raw", size, [(offset, chunk) for offset, chunk in kept if offset < size])
        FORMATS[name].make(raw, folder / "source")
        assert_reads_as(raw, folder / "source", folder / "target", FORMATS[name].form)


# What a machine may do to its disk, as qemu-io says it; some need a format.
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["write -P 0x61", "write -P 0x62", "write -z", "write -zu", "discard", "write -c -P 0x63"]),
        st.integers(0, 79),  # in units of 64 KiB
        st.integers(1, 20),
    ),
    min_size=1,
    max_size=15,
)
EMPTY: dict[str, tuple[str, ...]] = {
    "qcow2": ("qcow2", "-o", "compat=1.1"),
    "qcow2 with small clusters": ("qcow2", "-o", "compat=1.1,cluster_size=4096"),
    "qcow2 with large clusters": ("qcow2", "-o", "compat=1.1,cluster_size=2M"),
    "qcow2 v2": ("qcow2", "-o", "compat=0.10"),
    "qcow2 preallocated": ("qcow2", "-o", "compat=1.1,preallocation=metadata"),
    "vdi": ("vdi", "-o", "static=off"),
    "vdi fixed": ("vdi", "-o", "static=on"),
    "vmdk": ("vmdk", "-o", "subformat=monolithicSparse"),
    "vmdk flat": ("vmdk", "-o", "subformat=monolithicFlat"),
    "vmdk split": ("vmdk", "-o", "subformat=twoGbMaxExtentSparse"),
    "raw": ("raw",),
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(EMPTY)), writes=WRITES)
def test_written_by_a_machine(kind: str, writes: list[tuple[str, int, int]], tmp_path: Path) -> None:
    """Blocks in any order, zeroed, discarded, compressed and written again: what qemu-img reads, we read."""
    form, *options = EMPTY[kind]
    with TemporaryDirectory(dir=tmp_path) as place:
        folder = Path(place)
        commands: list[str] = []
        source, raw = folder / "source", folder / "raw"
        sh("qemu-img", "create", "-q", "-f", form, *options, source, str(5 * MIB))
        for what, start, count in writes:
            commands += ["-c", f"{what} {start * 65536} {min(count, 80 - start) * 65536}"]
        # A compressed write fails where something is already, and in most formats: the others are done all the same.
        subprocess.run(["qemu-io", "-f", form, "-d", "unmap", *commands, source], check=False, capture_output=True)
        sh("qemu-img", "convert", "-f", form, "-O", "raw", source, raw)
        assert_reads_as(raw, source, folder / "target", form)


@pytest.mark.parametrize("name", ["raw", "vdi", "qcow2", "qcow2-zlib", "vmdk-sparse", "vmdk-stream"])
def test_memory_follows_the_data(name: str, raw: Callable[[str], Path], folder: Path) -> None:
    """A disk of 2 TiB has 32 million clusters; a list of those in use, and a table or two, is all that is kept."""
    source = folder / "source"
    FORMATS[name].make(raw("2 TiB"), source)
    with opened(source) as found:
        tracemalloc.start()
        for _ in found.disk.extents():
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * MIB
