"""One story at a time: a lock that excludes a second command on this computer, and ends with its holder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.progress import Progress


@contextmanager
def exclusive(file: Path, progress: Progress, waiting: str) -> Iterator[None]:
    """Hold the lock `file`; while another command holds it, the phase `waiting` is shown."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.phase(waiting):
                fcntl.flock(stream, fcntl.LOCK_EX)
        yield
