"""Moving what is in sparse files without ever touching their holes."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from provision.errors import CommandError
from provision.process import run

HOST_BLOCK = 4096  # what ext4 and XFS cut files at


class Move(NamedTuple):
    """`size` bytes that lie at byte `source` and will lie at byte `target`."""

    source: int
    target: int
    size: int


def data_runs(file: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where `file` has data between the bytes `start` and `end`: (from, to)."""
    while start < end:
        try:
            found = os.lseek(file, start, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        if found >= end:
            return
        start = os.lseek(file, found, os.SEEK_HOLE)
        yield found, min(start, end)


def copy_data(source: int, target: int, move: Move) -> None:
    """Copy what is data among the bytes of a move from `source` to `target`, which has a hole there."""
    shift = move.target - move.source
    for start, end in data_runs(source, move.source, move.source + move.size):
        place = start
        while place < end and (count := os.copy_file_range(source, target, end - place, place, place + shift)):
            place += count


def cut_head(file: Path, length: int) -> bool:
    """Take the first `length` bytes off `file` without moving the others; False if its file system cannot."""
    return not length or (length % HOST_BLOCK == 0 and not _fallocate("--collapse-range", length, file))


def put_head(file: Path, length: int) -> None:
    """Put a hole of `length` bytes before what is in `file`, without moving that."""
    if length and (problem := _fallocate("--insert-range", length, file)):
        raise CommandError(f"The file system that holds {file} cannot insert a range.\n{problem}")


def _fallocate(what: str, length: int, file: Path) -> str:
    done = run(["fallocate", what, "--offset", "0", "--length", str(length), file], deadline=300, check=False)
    return done.stderr.strip() or "fallocate failed" if done.returncode else ""
