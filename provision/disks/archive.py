"""The one disk in a .box or .ova: a tar, gzipped or not. Nothing is unpacked, and no name in it is used as a path."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from tarfile import BLOCKSIZE, GNUTYPE_LONGLINK, GNUTYPE_LONGNAME, GNUTYPE_SPARSE, XGLTYPE, XHDTYPE, TarError, TarInfo
from typing import NamedTuple

from provision.disks.window import AGAIN, GzipWindow, Window
from provision.errors import InvalidInputError

_MAGIC = (257, b"ustar")
_HEADER_MOST = 2**20  # bytes of a header that tells of the next member
_MEMBERS, _NAME_MOST, _SHOWN = 1000, 4096, 100
_METADATA, _METADATA_MOST = "metadata.json", 2**16
_RAW = "raw"
_ABOUT = (XHDTYPE, XGLTYPE, b"X", GNUTYPE_LONGNAME, GNUTYPE_LONGLINK)
_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")  # of a pax header
_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class Archive:
    """The disk in an archive, its format, and `finish()`: it checks what follows, in a gzipped one best at the end."""

    container: str
    disk: Window
    form: str
    finish: Callable[[], None]


class _Member(NamedTuple):
    """A file of an archive, the disk's format of which it has the mark, and the disks that it names."""

    window: Window
    form: str | None
    names: frozenset[PurePosixPath]

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.window.name)


def is_tar(window: Window) -> bool:
    """True if a tar begins here."""
    place, magic = _MAGIC
    return window.size >= 512 and window.pread(0, 512)[place:].startswith(magic)


def read_archive(window: Window, form_of: Callable[[Window], str | None]) -> Archive:
    """The disk in the tar `window`; `form_of` tells which format's mark a member has. Raises InvalidInputError."""
    members = (_Member(each, form_of(each), frozenset(_named(each))) for each in _members(window))
    seen: list[_Member] = []
    for member in members:
        seen.append(member)
        if window.file is None and _disks(seen):  # it is best read forward: the first one it is, or there are two
            break
    disks = _disks(seen)
    if not disks:
        names = ", ".join(sorted(each.window.name for each in seen)[:5])
        raise InvalidInputError(f"{window.name} holds no disk, only {names or 'nothing'}.", hint=AGAIN)
    disk = disks[0]

    def finish() -> None:
        seen.extend(members)
        if others := [each.window.name for each in _disks(seen) if each is not disk]:
            raise InvalidInputError(
                f"{window.name} holds more than one disk: {disk.window.name} and {others[0]}.",
                hint="Export the machine with one disk.",
            )
        if isinstance(window, GzipWindow):
            window.content.finish()

    if window.file is not None:
        finish()
    first = seen[0].path.name  # of an .ova, by its standard, the description of the machine
    container = "ova" if first.endswith(".ovf") and first != "box.ovf" else "box"
    return Archive(container, disk.window, disk.form or _RAW, finish)


def _disks(members: list[_Member]) -> list[_Member]:
    """Which members are disks: by marks that nothing else has, else by the box's metadata, else by a raw disk's mark.

    The last is a boot sector's: boot images and CDs have it, too.
    """
    named = frozenset[PurePosixPath]().union(*(each.names for each in members))
    return (
        [each for each in members if each.form not in (None, _RAW)]
        or [each for each in members if each.path in named]
        or [each for each in members if each.form == _RAW and not named]
    )


def _named(member: Window) -> Iterator[PurePosixPath]:
    """The raw disks that a box's metadata.json names, as vagrant-libvirt has it: box.img, or a list of them."""
    if PurePosixPath(member.name).name != _METADATA or member.size > _METADATA_MOST:
        return
    try:
        said = json.loads(member.pread(0, member.size))
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict) or said.get("provider") != "libvirt":
        return
    disks = said.get("disks", [{"path": "box.img", **said}])
    for disk in disks if isinstance(disks, list) else ():
        if isinstance(disk, dict) and disk.get("format", _RAW) == _RAW and isinstance(disk.get("path"), str):
            yield PurePosixPath(disk["path"])


def _members(window: Window) -> Iterator[Window]:
    """The ordinary files of a tar, as windows. Raises InvalidInputError for anything that has no place in a box.

    tarfile understands each header, and we walk: its own walk keeps every member, recurses at each long name, expands
    maps of sparse files, and takes a damaged header for the end.
    """
    seen: set[str] = set()
    place, said = 0, dict[str, str]()  # what headers of their own say about the next member
    while block := _block(window, place):
        member = _header(window, place, block)
        begin, size = place + BLOCKSIZE, member.size
        if member.type in _ABOUT:
            said |= _said(window, member, place)
        else:
            member.name, member.size = said.get("path", member.name), _size(window, place, said, member.size)
            size = member.size if member.isfile() else 0
            _check(window, member, place, seen)
            if member.isfile():
                yield window.part(_shown(member.name), begin, size)
            said = {}
        place = begin + -(-size // BLOCKSIZE) * BLOCKSIZE


def _block(window: Window, place: int) -> bytes:
    """The header at `place`; nothing if the tar ends there."""
    if isinstance(window, GzipWindow):
        block = window.content.pread(place, BLOCKSIZE)
        end = window.content.end
    else:
        block = window.pread(min(place, window.size), max(0, min(BLOCKSIZE, window.size - place)))
        end = window.size
    if place > end or 0 < len(block) < BLOCKSIZE:
        raise InvalidInputError(f"{window.name} is cut off: the tar in it goes on at byte {end}.", hint=AGAIN)
    return block if block.strip(b"\0") else b""


def _header(window: Window, place: int, block: bytes) -> TarInfo:
    try:
        member = TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (TarError, ValueError) as exc:
        raise _wrong(window, place, f"has no sound tar header: {exc}") from exc
    if member.size < 0 or member.size >= 2**63:
        raise _wrong(window, place, f"has a member of an impossible size ({member.size})")
    return member


def _said(window: Window, member: TarInfo, place: int) -> dict[str, str]:
    """What the header of its own says about the member after it: its path, or its size, or that it is sparse."""
    if member.size > _HEADER_MOST:
        raise _wrong(window, place, f"has a header of {member.size} bytes")
    text = window.pread(place + BLOCKSIZE, member.size)
    if member.type in (GNUTYPE_LONGNAME, GNUTYPE_LONGLINK):
        name = text.split(b"\0")[0].decode(errors="surrogateescape")
        return {"path": name} if member.type == GNUTYPE_LONGNAME else {}
    said: dict[str, str] = {}
    at = 0
    while at < len(text):
        record = _RECORD.match(text, at)
        end = at + int(record[1]) if record else 0
        if not record or not record.end() < end <= len(text) or text[end - 1 : end] != b"\n":
            raise _wrong(window, place + BLOCKSIZE + at, "has no sound tar header")
        key = record[2].decode(errors="replace")
        if key.startswith("GNU.sparse."):
            raise _wrong(window, place + BLOCKSIZE + at, "holds a sparse file")
        if key in ("path", "size"):
            said[key] = text[record.end() : end - 1].decode(errors="surrogateescape")
        at = end
    return {} if member.type == XGLTYPE else said


def _size(window: Window, place: int, said: dict[str, str], size: int) -> int:
    if "size" not in said:
        return size
    if not _NUMBER.fullmatch(said["size"]) or int(said["size"]) >= 2**63:
        raise _wrong(window, place, f"has a member of an impossible size ({said['size'][:30]!r})")
    return int(said["size"])


def _check(window: Window, member: TarInfo, place: int, seen: set[str]) -> None:
    name = PurePosixPath(member.name[: _NAME_MOST + 1])
    wrong = {
        "points outside of it": name.is_absolute() or ".." in name.parts,
        "has no possible name": len(member.name) > _NAME_MOST or "\0" in member.name,
        "is no ordinary file": not (member.isfile() or member.isdir()) or member.type == GNUTYPE_SPARSE,
        "is there twice": str(name) in seen and member.isfile(),
        f"is one of more than {_MEMBERS}": len(seen) >= _MEMBERS,
    }
    for reason, true in wrong.items():
        if true:
            raise InvalidInputError(
                f"{window.name} holds {_shown(member.name)!r} (byte {place}), which {reason}.",
                hint="That is no box that Vagrant or VirtualBox made.",
            )
    seen.add(str(name))


def _shown(name: str) -> str:
    """The name as it may stand in a message: a terminal obeys what is in some."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:_SHOWN])


def _wrong(window: Window, place: int, what: str) -> InvalidInputError:
    return InvalidInputError(f"{window.name} {what} (byte {place}).", hint=AGAIN)
