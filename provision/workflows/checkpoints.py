"""What the steps of an unfinished build leave: a folder for each, there when it is whole, or not there at all."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from provision.core.steps import Kept, key_of
from provision.disks.resize.mount import release
from provision.disks.resize.sparse import Move, copy_data
from provision.locks import exclusive
from provision.paths import cache_home
from provision.progress import Progress

WORK, STEP, DISK = ".work", "step.json", "disk.raw"
_UNFINISHED = ".new"


def work_folder(course: str) -> Path:
    """Where the unfinished build of a course is."""
    return cache_home() / "builds" / course / WORK


@contextmanager
def working(course: str, progress: Progress) -> Iterator[Path]:
    """The work folder of a course, for one build at a time; what a killed one left half done is removed."""
    home = cache_home()
    with exclusive(home / "build.lock", progress, "Waiting for another build to finish"):
        for stale in home.glob(f"builds/*/{WORK}/*{_UNFINISHED}"):
            _remove(stale)
        work = work_folder(course)
        work.mkdir(parents=True, exist_ok=True)
        yield work


def kept_steps(course: str) -> tuple[Kept, ...]:
    """The steps whose results are there."""
    return tuple(_read(folder) for folder in _folders(work_folder(course)))


def checkpoint(work: Path, step: str, inputs: Mapping[str, str]) -> Path:
    """The folder of a step with these inputs."""
    return work / f"{step}-{key_of(inputs)}"


@contextmanager
def keeping(work: Path, step: str, inputs: Mapping[str, str]) -> Iterator[Path]:
    """A new folder for what a step leaves; it becomes the step's checkpoint when the context ends well."""
    with unfinished(work, step) as folder:
        yield folder
        when = datetime.now(UTC).isoformat(timespec="microseconds")
        (folder / STEP).write_text(json.dumps({"step": step, "inputs": dict(inputs), "when": when}, indent=1) + "\n")
        complete(folder, checkpoint(work, step, inputs))


@contextmanager
def unfinished(work: Path, name: str) -> Iterator[Path]:
    """A new folder that is gone when the context ends, unless it was completed."""
    folder = work / f"{name}{_UNFINISHED}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        if folder.exists():
            _remove(folder)


def complete(folder: Path, final: Path) -> None:
    """Give a folder its final name, in place of one that has it, when all that is in it is on the disk.

    After a power cut, too, what has that name is whole.
    """
    for path in folder.iterdir():
        write_out(path)
    if final.exists():
        shutil.rmtree(final)
    folder.chmod(0o755)
    folder.rename(final)
    write_out(final.parent)


def write_out(path: Path) -> None:
    """Have the kernel write a file's or folder's content to the disk."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def copy_disk(source: Path, target: Path) -> None:
    """Copy a raw disk's data, never its holes; where the file system can, the two share their blocks."""
    with source.open("rb") as reading, target.open("xb") as writing:
        size = source.stat().st_size
        writing.truncate(size)
        copy_data(reading.fileno(), writing.fileno(), Move(0, 0, size))


def used(folder: Path) -> int:
    """The bytes that the files below a folder take on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def make_room(work: Path, needed: int, keep: Path | None) -> tuple[int, int]:
    """Remove checkpoints but `keep`, the oldest first, until `needed` bytes are free.

    Returns the bytes that were removed, and those that are free.
    """
    removed = 0
    folders = [folder for each in work.parent.parent.glob(f"*/{WORK}") for folder in _folders(each) if folder != keep]
    for folder in sorted(folders, key=lambda folder: _read(folder).when):
        if shutil.disk_usage(work).free >= needed:
            break
        removed += used(folder)
        shutil.rmtree(folder)
    return removed, shutil.disk_usage(work).free


def discard(work: Path) -> None:
    """Remove the checkpoints of a build that is finished."""
    for folder in _folders(work):
        shutil.rmtree(folder)


def _folders(work: Path) -> list[Path]:
    return [path.parent for path in work.glob(f"*/{STEP}") if path.parent.suffix != _UNFINISHED]


def _read(folder: Path) -> Kept:
    content = json.loads((folder / STEP).read_text())
    return Kept(content["step"], content["inputs"], content["when"])


def _remove(folder: Path) -> None:
    release(folder)
    shutil.rmtree(folder)
