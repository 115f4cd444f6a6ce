"""What a disk file is, found by its content and never by its name, and its disk, read where it lies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from provision.disks.archive import is_tar, read_archive
from provision.disks.extents import Disk, Extent
from provision.disks.formats.descriptor import DESCRIPTOR_MAGIC
from provision.disks.formats.flat import read_flat
from provision.disks.formats.qcow2 import read_qcow2
from provision.disks.formats.raw import read_raw
from provision.disks.formats.vdi import read_vdi
from provision.disks.formats.vmdk import read_vmdk
from provision.disks.window import GzipWindow, Window, inflated, opened_file
from provision.errors import InvalidInputError

_KNOWN = "A .box, .ova, .vmdk, .vdi, .qcow2 or raw disk is; --from raw says that this is a raw one."

_FORMATS: tuple[tuple[str, int, bytes, Callable[[Window], Disk]], ...] = (
    ("vmdk", 0, b"KDMV", read_vmdk),
    ("vdi", 64, b"\x7f\x10\xda\xbe", read_vdi),
    ("qcow2", 0, b"QFI\xfb", read_qcow2),
    ("raw", 510, b"\x55\xaa", read_raw),  # a partition table
    ("raw", 512, b"EFI PART", read_raw),
    ("raw", 536, b"LVM2 001", read_raw),
    ("raw", 1080, b"\x53\xef", read_raw),  # ext4 without partitions
    ("raw", 0, b"XFSB", read_raw),
)
FORMS = tuple(sorted({name for name, _, _, _ in _FORMATS}))


@dataclass(frozen=True)
class Source:
    """A file with a disk in it: its name, what contains the disk ("file", "box", "ova"), and the disk.

    `files` are the open files that it is read from.
    """

    name: str
    container: str
    disk: Disk
    files: tuple[int, ...]


@contextmanager
def opened(path: Path, form: str | None = None) -> Iterator[Source]:
    """The disk in the file at `path`, readable as long as the context lasts; `form` says which of `FORMS` it is.

    Raises InvalidInputError if it is no disk that we can read.
    """
    with opened_file(path) as file:
        window = inflated(file)
        if is_tar(window) and form is None:
            archive = read_archive(window, _form)
            disk = _to_the_end(_read(archive.disk, archive.form), archive.finish)
            yield Source(path.name, archive.container, disk, (file.file,))
        elif isinstance(window, GzipWindow):
            raise InvalidInputError(
                f"{path} is gzipped, but no box: no tar begins at byte 0 of what is in it.", hint="gunzip it first."
            )
        elif _begins(window, 0, DESCRIPTOR_MAGIC) and form in (None, "vmdk"):
            with read_flat(path) as (disk, files):
                yield Source(path.name, "file", disk, (file.file, *files))
        else:
            yield Source(path.name, "file", _read(window, form), (file.file,))


def _read(window: Window, form: str | None) -> Disk:
    form = form or _form(window)
    reader = next((read for name, _, _, read in _FORMATS if name == form), None)
    if not reader:
        raise InvalidInputError(f"{window.name} is no disk that we know: none begins at byte 0.", hint=_KNOWN)
    return reader(window)


def _form(window: Window) -> str | None:
    """The format whose mark `window` has."""
    return next((name for name, place, mark, _ in _FORMATS if _begins(window, place, mark)), None)


def _begins(window: Window, place: int, mark: bytes) -> bool:
    return window.size >= place + len(mark) and window.pread(place, len(mark)) == mark


def _to_the_end(disk: Disk, finish: Callable[[], None]) -> Disk:
    """The same disk, of which each pass also checks the rest of the archive."""

    def extents() -> Iterator[Extent]:
        yield from disk.extents()
        finish()

    return replace(disk, extents=extents)
