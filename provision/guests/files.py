"""The files of a guest that is not running: of a disk that nothing mounts, or of a folder."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Protocol

TEXT_BYTES = 2**20  # the longest file of settings that is read
FOUND = 500  # files that one pattern finds at most


class Files(Protocol):
    """Files by their paths; symbolic links lead nowhere outside. What cannot be read raises InvalidInputError."""

    def read(self, path: str, limit: int) -> bytes | None:
        """An ordinary file's content, which must be at most `limit` bytes; None if there is no such file."""

    def stream(self, path: str) -> Iterator[bytes]:
        """An ordinary file's content piece by piece; nothing if there is no such file."""

    def names(self, path: str) -> tuple[str, ...]:
        """What is in a folder; nothing if there is no such folder."""

    def real(self, path: str) -> str | None:
        """The path with its links followed; None if nothing is there."""


def text(files: Files, path: str) -> str:
    """A file of settings, "" if there is none."""
    return (files.read(path, TEXT_BYTES) or b"").decode(errors="replace")


def lines(files: Files, path: str) -> Iterator[str]:
    """The lines of a file of settings without comments, stripped, and without empty ones."""
    for line in text(files, path).splitlines():
        if (said := line.strip()) and not said.startswith("#"):
            yield said


def found(files: Files, pattern: str) -> list[str]:
    """The paths that `pattern` matches, part by part as a shell does it; at most `FOUND`."""
    paths = [""]
    for part in pattern.strip("/").split("/"):
        if "*" in part:
            paths = [
                f"{path}/{name}" for path in paths for name in files.names(path or "/") if fnmatchcase(name, part)
            ][:FOUND]
        else:
            paths = [f"{path}/{part}" for path in paths]
    return [path for path in paths if "*" in pattern.rsplit("/", 1)[-1] or files.real(path)]
