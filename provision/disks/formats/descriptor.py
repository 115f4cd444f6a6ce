"""A VMDK's descriptor: its kind and its extents, as text. See VMware's "Virtual Disk Format 5.0", "The Descriptor"."""

import re
from typing import NamedTuple

from provision.disks.extents import LARGEST, SECTOR
from provision.disks.window import AGAIN
from provision.errors import InvalidInputError

DESCRIPTOR_MAGIC = b"# Disk DescriptorFile"
DESCRIPTOR_LIMIT = 2**20  # bytes; a descriptor of 2 TiB in pieces of 2 GB has about 40 kB
ALONE = "ffffffff"  # the parentCID of a disk that is no difference from another
COPY = "Copy the disk in VirtualBox (VBoxManage clonemedium), which makes one plain disk of it."
_EXTENT = re.compile(r'(RW|RDONLY)\s+(\d{1,19})\s+([A-Z]{1,20})(?:\s+"([^"]*)"(?:\s+(\d{1,19}))?)?')
_SETTING = re.compile(r"([\w.]+)\s*=\s*(.*)")
_KINDS = ("FLAT", "SPARSE", "ZERO")


class DescribedExtent(NamedTuple):
    """A line of the extent table: `sectors` of the disk, in `file` ("" for ZERO) from sector `offset` on."""

    access: str
    sectors: int
    kind: str
    file: str
    offset: int


class Descriptor(NamedTuple):
    """What a descriptor says. Its extents follow one another on the disk."""

    create_type: str
    parent_cid: str
    extents: tuple[DescribedExtent, ...]


def parse(text: str, name: str) -> Descriptor:
    """What the descriptor `text` says; `name` is the file that holds it, for messages.

    Raises InvalidInputError for a differencing or encrypted disk, and for an extent that is not in a file beside it.
    """
    settings: dict[str, str] = {}
    extents: list[DescribedExtent] = []
    # It ends at the first NUL: when QEMU writes it again and it gets shorter, the rest of the old one stays behind it.
    for number, line in enumerate(re.split(r"\r?\n", text.partition("\0")[0]), start=1):
        place = f"line {number} of the descriptor in {name}"
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        if found := _EXTENT.fullmatch(words):
            extents.append(_extent(found, place))
        elif found := _SETTING.fullmatch(words):
            _set(settings, found[1].lower(), found[2].strip('" \t'), place)
        else:
            raise InvalidInputError(f"Not understood: {place}: {words[:80]!r}.", hint=COPY)
    _check(settings, extents, name)
    return Descriptor(settings.get("createtype", ""), settings.get("parentcid", ALONE).lower(), tuple(extents))


def _extent(found: re.Match[str], place: str) -> DescribedExtent:
    access, sectors, kind, file, offset = found.groups()
    if kind not in _KINDS:
        raise InvalidInputError(f"An extent of kind {kind}, which we cannot read: {place}.", hint=COPY)
    if (kind == "ZERO") != (file is None):
        raise InvalidInputError(f"An extent of kind {kind} that should name {'no' if file else 'a'} file: {place}.")
    # A backslash is a separator too: the descriptor may have been made on Windows.
    if file is not None and (not file or file.startswith("..") or file == "." or set(file) & set("/\\")):
        raise InvalidInputError(f"An extent in {file[:80]!r}, which is not a file beside the disk: {place}.", hint=COPY)
    return DescribedExtent(access, int(sectors), kind, file or "", int(offset or 0))


def _set(settings: dict[str, str], key: str, value: str, place: str) -> None:
    if key.startswith("encryption."):
        raise InvalidInputError(f"The disk is encrypted: {place}.", hint="Decrypt it where it was made, and export it.")
    if key == "parentfilenamehint" or (key == "parentcid" and value.lower() != ALONE):
        raise InvalidInputError(f"The disk is the difference from another disk: {place}.", hint=COPY)
    if settings.setdefault(key, value) != value:
        raise InvalidInputError(f"{key[:80]} is set a second time, to something else: {place}.", hint=COPY)


def _check(settings: dict[str, str], extents: list[DescribedExtent], name: str) -> None:
    if not extents:
        raise InvalidInputError(f"The descriptor in {name} names no extents.", hint=AGAIN)
    if sum(extent.sectors for extent in extents) > LARGEST // SECTOR:
        raise InvalidInputError(f"The descriptor in {name} speaks of more than a disk's {LARGEST} bytes.")
    if len({extent.file for extent in extents if extent.file}) < sum(bool(extent.file) for extent in extents):
        raise InvalidInputError(f"The descriptor in {name} names a file twice.", hint=COPY)
