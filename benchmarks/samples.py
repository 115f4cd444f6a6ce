"""The disks that are converted: this machine's own files in an ext4 on an MBR, in every format, made without root."""

import os
import random
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from multiprocessing import Process
from pathlib import Path

from measure import remove

# Programs, text, and what is compressed already.
ROOTS = ("/usr/bin", "/usr/lib", "/usr/share", "/var/cache/apt/archives")
RANDOM_SHARE = 10  # one file in bytes of random ones: a tenth
MEMBER = "box-disk001.vmdk"  # the disk in a box
START = 2**20  # where the partition begins
_FILE = 2**22  # bytes of a random file
_VDI_DATA = 344  # where in its header a VDI says where its blocks begin
_METADATA = b'{"provider": "virtualbox"}'
_OVF = b'<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"/>'


@dataclass(frozen=True)
class Sample:
    """One disk in all its forms. `size` is its own, in bytes."""

    size: int
    raw: Path
    vmdk: Path
    box: Path
    box_gz: Path
    vdi: Path
    sparse: Path


def make_samples(work: Path, sizes: Sequence[int], data: int) -> list[Sample]:
    """A disk with `data` bytes of files for each of `sizes`; what is there from another run is taken.

    All have the same bytes, and the larger ones more room behind them: what differs is the virtual size alone. Only the
    first one's VMDK is kept outside of its box.
    """
    samples = [_sample(work / f"{data >> 20}-MiB-in-{size >> 30}-GiB", size) for size in sizes]
    tree, first = work / "tree", samples[0]
    for sample in samples:
        sample.raw.parent.mkdir(exist_ok=True)
        if sample.raw.exists():
            continue
        if sample is first:
            # By a process of its own: the memory that this one has is seen in all that it starts.
            aside = Process(target=_gather, args=(tree, data))
            aside.start()
            aside.join()
            _made(sample.raw, partial(_ext4, size=sample.size, tree=tree))
        else:
            _made(sample.raw, partial(_roomier, disk=first.raw, size=sample.size))
    for sample in samples:
        for path, make in _makers(sample).items():
            if not path.exists() and not (path == sample.vmdk and sample.box.exists()):
                _made(path, make)
    remove([tree, *(sample.vmdk for sample in samples[1:])])
    return samples


def run(*command: str | Path) -> None:
    """Run a command of the preparation."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _sample(folder: Path, size: int) -> Sample:
    names = ("disk.raw", "disk.vmdk", "disk.box", "disk.box.gz", "disk.vdi", "sparse.vmdk")
    return Sample(size, *(folder / name for name in names))


def _made(path: Path, make: Callable[[Path], object]) -> None:
    print(f"Making {path} ...", flush=True)
    unfinished = path.with_name(f"unfinished-{path.name}")
    make(unfinished)
    unfinished.rename(path)


def _makers(sample: Sample) -> dict[Path, Callable[[Path], object]]:
    return {
        sample.vmdk: lambda path: _qemu(sample.raw, path, "vmdk", "-o", "subformat=streamOptimized"),
        sample.box: lambda path: _box(sample.vmdk, path),
        sample.box_gz: lambda path: _gzip(sample.box, path),
        sample.vdi: lambda path: _vdi(sample.raw, path),
        sample.sparse: lambda path: _qemu(sample.raw, path, "vmdk", "-o", "subformat=monolithicSparse"),
    }


def _qemu(raw: Path, target: Path, form: str, *options: str) -> None:
    run("qemu-img", "convert", "-f", "raw", "-O", form, *options, raw, target)


def _vdi(raw: Path, target: Path) -> None:
    """A VDI whose blocks begin at a whole MiB, as VirtualBox writes them and qemu-img does not."""
    made = target.with_name("qemu.vdi")
    _qemu(raw, made, "vdi")
    with made.open("rb") as source, target.open("wb") as stream:
        head = bytearray(source.read(_VDI_DATA + 4))
        (start,) = struct.unpack_from("<I", head, _VDI_DATA)
        moved = -(-start // 2**20) * 2**20
        struct.pack_into("<I", head, _VDI_DATA, moved)
        stream.write(head + source.read(start - len(head)))
        stream.seek(moved)
        shutil.copyfileobj(source, stream, 2**20)
    remove([made])


def _box(vmdk: Path, target: Path) -> None:
    with tarfile.open(target, "w") as archive:
        for name, content in (("metadata.json", _METADATA), ("box.ovf", _OVF)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
        archive.add(vmdk, MEMBER)


def _gzip(box: Path, target: Path) -> None:
    with target.open("wb") as stream:
        subprocess.run(["gzip", "--stdout", box], stdout=stream, check=True)


def _ext4(raw: Path, size: int, tree: Path) -> None:
    with raw.open("wb") as stream:
        stream.truncate(size)
    table = b"label: dos\nstart=2048, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", raw], input=table, check=True)
    options = ("-q", "-F", "-d", tree, "-E", f"offset={START}")
    run("mkfs.ext4", *options, raw, f"{(size - START) >> 10}k")


def _roomier(raw: Path, disk: Path, size: int) -> None:
    run("cp", "--sparse=always", disk, raw)
    os.truncate(raw, size)


def _gather(tree: Path, data: int) -> None:
    """Copy `data` bytes of this machine's files, and random ones among them, to `tree`."""
    print(f"Gathering {data >> 20} MiB of files ...", flush=True)
    tree.mkdir()
    noise, left = random.Random(3), data  # noqa: S311  # no secret
    for number in range(data // RANDOM_SHARE // _FILE):
        (tree / f"random-{number}").write_bytes(noise.randbytes(_FILE))
        left -= _FILE
    for file in sorted(_files(), key=lambda path: zlib.crc32(os.fsencode(path))):
        size = file.stat().st_size
        if size > left:
            continue
        target = tree / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        left -= size
        if left < 4096:
            return
    print(f"There are not so many files: {left >> 20} MiB are missing.")


def _files() -> Iterator[Path]:
    for root in ROOTS:
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in names):
                if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                    yield path
