"""What a disk file is, found by its content, and whether it is safe to hand to qemu-img."""

import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from provision.errors import InvalidInputError

CHUNK = 2**20
HEAD = 1024  # bytes; enough for every header that is looked at
DISK_SUFFIXES = (".vmdk", ".vdi", ".qcow2", ".img", ".raw")
CONVERT = "Copy the machine in VirtualBox with its disks (VBoxManage clonemedium), which makes one plain disk of it."


@dataclass(frozen=True)
class Disk:
    """A disk file that passed its checks, and its format as qemu-img calls it."""

    path: Path
    format: str


def unpacked(source: Path, work: Path, *, on_bytes: Callable[[int, int], None]) -> Disk:
    """The disk in `source`: of a .box or .ova (unpacked into the folder `work`), or `source` itself.

    `on_bytes` is called with the bytes of `source` that were read and their total. Raises InvalidInputError.
    """
    if not source.is_file():
        raise InvalidInputError(f"There is no file {source}.")
    if not is_archive(source):
        return checked(source)
    target = work / "source.disk"
    _unpack(source, target, on_bytes)
    return checked(target)


def is_archive(path: Path) -> bool:
    """True for a tar, gzipped or not: what a .box and an .ova are."""
    head = _head(path)
    return head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar"


def checked(path: Path) -> Disk:
    """The disk at `path` with its format, once it is known to be whole in itself: no backing file, no other paths."""
    head = _head(path)
    for recognises, name, check in _FORMATS:
        if recognises(head):
            if problem := check(head, path):
                raise InvalidInputError(f"{path} is a {name} disk that {problem}.", hint=CONVERT)
            return Disk(path, name)
    raise InvalidInputError(
        f"{path} is no disk that we know.", hint="A .box, .ova, .vmdk, .vdi, .qcow2 or raw disk with partitions is."
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD)


def _check_vmdk(head: bytes, path: Path) -> str | None:
    """VMware's "Virtual Disk Format 5.0": a capacity of 0 makes qemu believe the descriptor's file names."""
    capacity, _, descriptor, sectors = struct.unpack_from("<4Q", head, 12)
    if not capacity or not descriptor or not 0 < sectors <= 2048:
        return "has no sound header"
    with path.open("rb") as stream:
        stream.seek(descriptor * 512)
        lines = stream.read(sectors * 512).split(b"\0")[0].decode(errors="replace").splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    kind = settings.get("createType", "").strip('" ')
    if kind not in ("streamOptimized", "monolithicSparse"):
        return f"is of type {kind or 'unknown'}, whose data are in other files"
    if settings.get("parentCID", "ffffffff").strip().lower() != "ffffffff":
        return "is the difference from another disk"
    extents = [line for line in lines if line.split(" ")[0] in ("RW", "RDONLY", "NOACCESS")]
    if len(extents) != 1 or " SPARSE " not in extents[0] or "/" in extents[0] or "\\" in extents[0]:
        return "names other files"
    return None


def _check_descriptor(_head: bytes, _path: Path) -> str | None:
    return "only names other files"


def _check_vdi(head: bytes, _path: Path) -> str | None:
    (kind,) = struct.unpack_from("<I", head, 76)
    return None if kind in (1, 2) else "is the difference from another disk, or of an unknown type"


def _check_qcow2(head: bytes, _path: Path) -> str | None:
    version, backing = struct.unpack_from(">IQ", head, 4)
    (encryption,) = struct.unpack_from(">I", head, 32)
    features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
    if backing:
        return "needs a backing file"
    if encryption:
        return "is encrypted"
    return "keeps its data in another file" if features & 4 else None


def _check_raw(_head: bytes, path: Path) -> str | None:
    return "is not a whole number of 512-byte sectors" if path.stat().st_size % 512 else None


_FORMATS: tuple[tuple[Callable[[bytes], bool], str, Callable[[bytes, Path], str | None]], ...] = (
    (lambda head: head[:4] == b"KDMV", "vmdk", _check_vmdk),
    (lambda head: head[:21] == b"# Disk DescriptorFile", "vmdk", _check_descriptor),
    (lambda head: head[64:68] == b"\x7f\x10\xda\xbe", "vdi", _check_vdi),
    (lambda head: head[:4] == b"QFI\xfb", "qcow2", _check_qcow2),
    (lambda head: head[510:512] == b"\x55\xaa", "raw", _check_raw),
)


def _unpack(source: Path, target: Path, on_bytes: Callable[[int, int], None]) -> None:
    """Copy the one disk of an archive to `target`; no name in the archive is ever used as a path."""
    total, found = source.stat().st_size, None
    try:
        with source.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                _check_member(source, member)
                if not member.name.lower().endswith(DISK_SUFFIXES):
                    continue
                if found:
                    raise InvalidInputError(f"{source} holds more than one disk: {found} and {member.name}.")
                found, content = member.name, archive.extractfile(member)
                if content:  # only links have none, and those were refused
                    _copy(content, target, lambda: on_bytes(stream.tell(), total))
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise InvalidInputError(f"{source} cannot be unpacked: {exc}.", hint="Fetch or export it again.") from exc
    if not found:
        raise InvalidInputError(f"{source} holds no disk ({', '.join(DISK_SUFFIXES)}).")


def _check_member(source: Path, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise InvalidInputError(f"{source} holds a file that points outside of it: {member.name!r}.")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise InvalidInputError(f"{source} holds something that is no ordinary file: {member.name!r}.")


def _copy(content: IO[bytes], target: Path, on_chunk: Callable[[], None]) -> None:
    with target.open("wb") as stream:
        while chunk := content.read(CHUNK):
            stream.write(chunk)
            on_chunk()
