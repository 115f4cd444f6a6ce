"""Which disk is it, and may qemu-img have it? By content alone."""

import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.source import checked, unpacked
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh

FORMATS = {
    "raw": ("raw", []),
    "qcow2": ("qcow2", []),
    "vdi": ("vdi", []),
    "sparse": ("vmdk", ["-o", "subformat=monolithicSparse"]),
    "stream": ("vmdk", ["-o", "subformat=streamOptimized"]),
}


def made(kind: str, source: Path, target: Path) -> Path:
    form, options = FORMATS[kind]
    sh("qemu-img", "convert", "-f", "raw", "-O", form, *options, source, target)
    return target


def silent(_done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("kind", FORMATS)
def test_content_tells_the_format(kind: str, make_disk: Callable[..., Path], tmp_path: Path) -> None:
    disk = made(kind, make_disk(size=40), tmp_path / "named.txt")
    assert checked(disk).format == FORMATS[kind][0]


def box(target: Path, members: dict[str, bytes], *, mode: str = "w:gz") -> Path:
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]  # the mode is a parameter
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_a_box_gives_its_disk(mode: str, make_disk: Callable[..., Path], tmp_path: Path) -> None:
    vmdk = made("stream", make_disk(size=40), tmp_path / "disk.vmdk")
    members = {"./metadata.json": b"{}", "./box.ovf": b"<x/>", "./box-disk001.vmdk": vmdk.read_bytes()}
    seen: list[tuple[int, int]] = []
    source = box(tmp_path / "some.box", members, mode=mode)
    disk = unpacked(source, tmp_path, on_bytes=lambda done, total: seen.append((done, total)))
    assert disk.format == "vmdk"
    assert disk.path.read_bytes() == vmdk.read_bytes()
    assert seen[-1][0] <= seen[-1][1] == source.stat().st_size


def vmdk_with(tmp_path: Path, old: bytes, new: bytes) -> Path:
    empty = tmp_path / "empty.raw"
    empty.write_bytes(bytes(MIB))
    path = made("sparse", empty, tmp_path / "bad.vmdk")
    content = path.read_bytes()
    assert old in content[:4096]
    path.write_bytes(content.replace(old, new.ljust(len(old)), 1))
    return path


def qcow2_with(tmp_path: Path, place: int, form: str, value: int) -> Path:
    sh("qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "bad.qcow2", "1M")
    content = bytearray((tmp_path / "bad.qcow2").read_bytes())
    struct.pack_into(form, content, place, value)
    (tmp_path / "bad.qcow2").write_bytes(content)
    return tmp_path / "bad.qcow2"


def vdi_with(tmp_path: Path, kind: int) -> Path:
    sh("qemu-img", "create", "-q", "-f", "vdi", tmp_path / "bad.vdi", "1M")
    content = bytearray((tmp_path / "bad.vdi").read_bytes())
    struct.pack_into("<I", content, 76, kind)
    (tmp_path / "bad.vdi").write_bytes(content)
    return tmp_path / "bad.vdi"


def descriptor(tmp_path: Path) -> Path:
    text = '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n'
    (tmp_path / "flat.vmdk").write_text(text)
    return tmp_path / "flat.vmdk"


def written(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "file").write_bytes(content)
    return tmp_path / "file"


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "vmdk descriptor": (descriptor, "only names other files"),
    "vmdk difference": (lambda p: vmdk_with(p, b"parentCID=ffffffff", b"parentCID=0badcafe"), "the difference from"),
    "vmdk flat": (lambda p: vmdk_with(p, b'createType="monolithicSparse"', b'createType="monolithicFlat"'), "of type"),
    "vmdk elsewhere": (lambda p: vmdk_with(p, b'SPARSE "bad.vmdk"', b'SPARSE "/etc/pass'), "names other files"),
    "vmdk no capacity": (lambda p: written(p, b"KDMV" + bytes(1020)), "has no sound header"),
    "qcow2 backing": (lambda p: qcow2_with(p, 8, ">Q", 512), "needs a backing file"),
    "qcow2 encrypted": (lambda p: qcow2_with(p, 32, ">I", 1), "is encrypted"),
    "qcow2 data file": (lambda p: qcow2_with(p, 72, ">Q", 4), "keeps its data in another file"),
    "vdi difference": (lambda p: vdi_with(p, 4), "the difference from"),
    "raw odd": (lambda p: written(p, bytes(510) + b"\x55\xaa" + b"x"), "not a whole number"),
    "text": (lambda p: written(p, b"hello"), "no disk that we know"),
    "empty": (lambda p: written(p, b""), "no disk that we know"),
    "not there": (lambda p: p / "nowhere", "There is no file"),
    "tar absolute": (lambda p: box(p / "x.box", {"/etc/shadow.vmdk": b""}), "points outside"),
    "tar parent": (lambda p: box(p / "x.box", {"a/../../x.vmdk": b""}), "points outside"),
    "tar without": (lambda p: box(p / "x.box", {"metadata.json": b"{}"}), "holds no disk"),
    "tar two": (lambda p: box(p / "x.box", {"a.vmdk": b"", "b.vmdk": b""}), "more than one disk"),
    "gzip cut": (lambda p: written(p, b"\x1f\x8b\x08\x00garbage"), "cannot be unpacked"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_not_safe_is_refused(case: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[case]
    source = make(tmp_path)
    with pytest.raises(InvalidInputError, match=reason):
        unpacked(source, tmp_path, on_bytes=silent)


def test_a_link_in_a_box_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.box", "w") as archive:
        member = tarfile.TarInfo("disk.vmdk")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(member)
    with pytest.raises(InvalidInputError, match="no ordinary file"):
        unpacked(tmp_path / "x.box", tmp_path, on_bytes=silent)
