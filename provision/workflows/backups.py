"""Students' work between two images: files beside the handouts, 0600, that are never written over before they are back.

A file's name says whose work it is and for which image it was fetched, STUDENT.IMAGE.tar; when the work is back on the
machine, the file becomes STUDENT.IMAGE.back.tar, and stays until somebody deletes it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from provision.core.naming import STUDENT_ID
from provision.errors import CommandError

_KEPT, _BACK = ".tar", ".back.tar"


def backups_folder(folder: Path) -> Path:
    """Where they are."""
    return folder / "backups"


def kept_backups(folder: Path) -> dict[str, str]:
    """Whose work is still to be given back, by student, and on which image."""
    found = {}
    for each in sorted(backups_folder(folder).glob(f"*{_KEPT}")):
        student, _, image = each.name.removesuffix(_KEPT).rpartition(".")
        if STUDENT_ID.fullmatch(student) and image != "back":
            found[student] = image
    return found


def backup_file(folder: Path, student: str, image: str) -> Path:
    """The work of a student that was fetched for `image`."""
    return backups_folder(folder) / f"{student}.{image}{_KEPT}"


def keep_backup(folder: Path, student: str, image: str, fetch: Callable[[BinaryIO], object]) -> None:
    """Have `fetch` write a student's work into a file, complete or not at all. Raises CommandError if it is empty.

    What was fetched for a move that never began gives way to it.
    """
    place = backup_file(folder, student, image)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as stream:
            fetch(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if not part.stat().st_size:
            raise CommandError("The machine sent nothing.")
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    for old in place.parent.glob(f"{student}.*{_KEPT}"):
        if old != place and _is_kept_of(old, student):
            old.unlink()


def give_back(folder: Path, student: str, image: str, send: Callable[[BinaryIO], object]) -> None:
    """Have `send` read a student's work from its file; when it returns, the work is back."""
    place = backup_file(folder, student, image)
    with place.open("rb") as stream:
        send(stream)
    place.replace(place.with_name(f"{student}.{image}{_BACK}"))


def _is_kept_of(place: Path, student: str) -> bool:
    """Whether it is this student's, and not that of one whose id begins alike, and not back."""
    return not place.name.endswith(_BACK) and place.name.removesuffix(_KEPT).rpartition(".")[0] == student
