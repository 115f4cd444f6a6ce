"""A file system that can share blocks between files, on a loop device. Needs root."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import remove
from samples import run


def missing() -> str:
    """Why there can be none here, or nothing."""
    if os.geteuid():
        return "it needs root"
    return "" if shutil.which("mkfs.xfs") else "mkfs.xfs is not installed"


@contextmanager
def xfs(work: Path, files: tuple[Path, ...]) -> Iterator[Path]:
    """A folder on an XFS of its own, with copies of `files`."""
    image, folder = work / "xfs.img", work / "xfs"
    remove([image])
    with image.open("wb") as stream:
        stream.truncate(2**30 + 2 * sum(file.stat().st_size for file in files))
    run("mkfs.xfs", "-q", "-m", "reflink=1", image)
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, folder)
    try:
        for file in files:
            shutil.copyfile(file, folder / file.name)
        yield folder
    finally:
        run("umount", folder)
        folder.rmdir()
        remove([image])
