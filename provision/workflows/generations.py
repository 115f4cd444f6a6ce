"""The backups of a student as files: BACKUPS/STUDENT/TIME.tar.gz, each complete, for their owner alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provision.errors import NotFoundError

_NAME = "%Y%m%dT%H%M%SZ"
_END = ".tar.gz"


@dataclass(frozen=True)
class Shelf:
    """One student's place among the backups in the folder `root`."""

    root: Path
    student: str

    @property
    def folder(self) -> Path:
        """Where the student's files are."""
        return self.root / self.student


@dataclass(frozen=True)
class Generation:
    """A backup, and when it was made (UTC)."""

    file: Path
    made: datetime


def generations(shelf: Shelf) -> list[Generation]:
    """All of a student's, the oldest first. What bears another name is none of ours."""
    found = []
    for file in sorted(shelf.folder.glob(f"*{_END}")):
        try:
            made = datetime.strptime(file.name.removesuffix(_END), _NAME).replace(tzinfo=UTC)
        except ValueError:
            continue
        found.append(Generation(file, made))
    return found


def newest(shelf: Shelf) -> Generation | None:
    """The last one that was made."""
    return next(reversed(generations(shelf)), None)


def newest_file(shelf: Shelf) -> Path:
    """The file of the last one. Raises NotFoundError if there is none."""
    if found := newest(shelf):
        return found.file
    raise NotFoundError(
        f"There is no backup of {shelf.student}'s files in {shelf.folder}.",
        hint="Name a file with --from, or make one: provision backup COHORT STUDENT",
    )


@contextmanager
def unfinished(shelf: Shelf) -> Iterator[Path]:
    """A file for a backup that is under way; nothing is left of it. What a killed run left goes, too."""
    shelf.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shelf.root.chmod(0o700)
    with suppress(FileExistsError), (shelf.root / ".gitignore").open("x") as stream:
        stream.write("*\n")  # what a class wrote is nobody else's
    part = shelf.folder / f".part.{os.getpid()}"
    for left in shelf.folder.glob(".part.*"):
        if left == part or not Path(f"/proc/{left.suffix[1:]}").exists():
            left.unlink(missing_ok=True)
    part.touch(0o600)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def keep(shelf: Shelf, part: Path) -> Path:
    """Give a finished backup its name, once it is on the disk; it takes no other's place."""
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    file = shelf.folder / f"{datetime.now(UTC).strftime(_NAME)}{_END}"
    os.link(part, file)
    return file


def prune(shelf: Shelf, count: int) -> None:
    """Remove all but the newest `count`, which is 1 at least."""
    for old in generations(shelf)[: -max(count, 1)]:
        old.file.unlink(missing_ok=True)
