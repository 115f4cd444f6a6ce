"""The one disk in a .box or .ova: a tar, gzipped or not. Nothing is unpacked, and no name in it is used as a path."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from tarfile import BLOCKSIZE, GNUTYPE_LONGLINK, GNUTYPE_LONGNAME, GNUTYPE_SPARSE, XGLTYPE, XHDTYPE, TarError, TarInfo

from provision.disks.window import AGAIN, GzipWindow, Window
from provision.errors import InvalidInputError

_MAGIC = (257, b"ustar")
_HEADER_MOST = 2**20  # bytes of a header that tells of the next member
_MEMBERS, _NAME_MOST, _SHOWN = 1000, 4096, 100
_ABOUT = (XHDTYPE, XGLTYPE, b"X", GNUTYPE_LONGNAME, GNUTYPE_LONGLINK)
_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")  # of a pax header
_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class Archive:
    """The disk in an archive; `finish()` checks what follows it, which in a gzipped one is best left to the end."""

    container: str
    disk: Window
    finish: Callable[[], None]


def is_tar(window: Window) -> bool:
    """True if a tar begins here."""
    place, magic = _MAGIC
    return window.size >= 512 and window.pread(0, 512)[place:].startswith(magic)


def read_archive(window: Window, is_disk: Callable[[Window], bool]) -> Archive:
    """The disk in the tar `window`: the member whose content `is_disk` knows. Raises InvalidInputError."""
    members = _members(window)
    names: list[str] = []
    disk = None
    for member in members:
        names.append(member.name)
        if is_disk(member):
            disk = member
            break
    if not disk:
        raise InvalidInputError(
            f"{window.name} holds no disk, only {', '.join(sorted(names)[:5]) or 'nothing'}.", hint=AGAIN
        )
    found = disk

    def finish() -> None:
        for member in members:
            if is_disk(member):
                raise InvalidInputError(
                    f"{window.name} holds more than one disk: {found.name} and {member.name}.",
                    hint="Export the machine with one disk.",
                )
        if isinstance(window, GzipWindow):
            window.content.finish()

    if window.file is not None:
        finish()
    first = PurePosixPath(names[0]).name  # of an .ova, by its standard, the description of the machine
    return Archive("ova" if first.endswith(".ovf") and first != "box.ovf" else "box", disk, finish)


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
