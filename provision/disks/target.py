"""A file that has its name only when it is complete: Ctrl-C, a full disk or kill -9 leave no half image behind it."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.errors import InvalidInputError, ProvisionError

_NAME = "Name the file that is to be written."


@contextmanager
def completed(target: Path, sources: tuple[int, ...] = ()) -> Iterator[tuple[Path, int]]:
    """An empty file beside `target`, open for reading and writing; it becomes `target` when the context ends well.

    Raises InvalidInputError if that would overwrite one of the open files `sources`.
    """
    with _named(target):
        _check(target)
        # One name for every run, so that what a killed one left is taken up by the next.
        unfinished = target.with_name(f".{target.name}.unfinished")
        left = _beside(unfinished)
        for path in (target, unfinished, *left.rglob("*")):
            if any(_is_same(path, Path(f"/proc/self/fd/{source}")) for source in sources):
                raise InvalidInputError(
                    f"{path} is the source itself.", hint="Write to another file: a source is kept."
                )
        file = _claimed(unfinished)
    try:
        with _named(target):
            _remove(left)
        with _room(target):
            yield unfinished, file
            with _named(target):
                unfinished.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            unfinished.unlink()
        raise
    finally:
        os.close(file)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is made on the way to it; what a killed run left there is removed first."""
    folder = _beside(path)
    _remove(folder)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        _remove(folder)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.scratch")


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _is_same(one: Path, other: Path) -> bool:
    """True if both are names of one file, False if there is none by either name."""
    try:
        return one.samefile(other)
    except OSError:
        return False


@contextmanager
def _named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise InvalidInputError(f"{target} cannot be written: {exc.strerror}.", hint=_NAME) from exc


def _check(target: Path) -> None:
    """Refuse what is no name for a file. A device must not be replaced by one."""
    wrong = {
        f"{target} is a folder.": target.is_dir(),
        f"There is no folder {target.parent}.": not target.parent.is_dir(),
        f"{target} is there, and is no ordinary file.": target.exists() and not target.is_file(),
    }
    for reason, true in wrong.items():
        if true:
            raise InvalidInputError(reason, hint=_NAME)


def _claimed(path: Path) -> int:
    """`path`, open and empty, ours alone until it is closed."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(file)
        raise _busy(path) from exc
    if not path.exists() or not path.samefile(f"/proc/self/fd/{file}"):  # it was just given its name
        os.close(file)
        raise _busy(path)
    if os.fstat(file).st_size:  # else not: ext4 writes out at its closing what was truncated before
        os.ftruncate(file, 0)
    return file


def _busy(path: Path) -> ProvisionError:
    return ProvisionError(f"Another run is writing {path}.", hint="Wait for it, or write to another file.")


@contextmanager
def _room(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ProvisionError(f"{target} cannot be written: {exc.strerror}.", hint="Try another place.") from exc
        place = os.statvfs(target.parent)
        raise ProvisionError(
            f"There is no room for {target}: {exc.strerror}, {place.f_bavail * place.f_frsize >> 20} MiB are left.",
            hint="Make room, or write to another place; nothing was left behind.",
        ) from exc
