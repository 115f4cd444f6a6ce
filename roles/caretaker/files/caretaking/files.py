"""The student's files: `backup`, `restore` and `reset`, all with the student's rights alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import Any, BinaryIO

from caretaking.common import (
    NOBODYS,
    Refused,
    Settings,
    as_student,
    end_sessions,
    locked,
    owner,
    start_services,
    systemctl,
)
from caretaking.packing import pack, tree, unpack

STAGED = ".provision-restore"
KEPT = "before-restore-"
SKELETON = "/etc/skel"


def backup(settings: Settings, _source: BinaryIO, target: BinaryIO) -> None:
    """The course's folders, as they are now."""
    with locked(shared=True):
        as_student(settings, lambda: _pack(settings, target))


def _pack(settings: Settings, target: BinaryIO) -> None:
    pack(settings.home, settings.folders, target)
    target.flush()


def restore(settings: Settings, source: BinaryIO, _target: BinaryIO) -> dict[str, Any]:
    """What a backup holds into place, once all of it is here and proved. What was there is kept beside it."""
    with locked():
        _belongs(settings)
        manifest = as_student(settings, lambda: _unpack(settings, source))
        if not as_student(settings, lambda: _differing(settings, manifest["folders"])):
            as_student(settings, lambda: _clear(settings))
            return {"files": len(manifest["files"]), "kept": ""}
        end_sessions(settings)
        try:
            kept = as_student(settings, lambda: _swap(settings, manifest["folders"]))
        finally:
            start_services(settings)
    return {"files": len(manifest["files"]), "kept": kept}


def _belongs(settings: Settings) -> None:
    if not owner(settings):
        raise Refused(NOBODYS, "it is nobody's machine yet")


def _staged(settings: Settings) -> str:
    return os.path.join(settings.home, STAGED)


def _clear(settings: Settings) -> None:
    """Away with what is staged: what a restore left that was killed, or that would change nothing."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(_staged(settings))


def _unpack(settings: Settings, source: BinaryIO) -> dict[str, Any]:
    _clear(settings)
    os.mkdir(_staged(settings), 0o700)
    try:
        return unpack(source, _staged(settings), settings.folders)
    except BaseException:
        _clear(settings)
        raise


def _differing(settings: Settings, folders: list[str]) -> list[str]:
    """Those of the folders that are not already as they are staged."""
    pairs = [
        (folder, os.path.join(settings.home, folder), os.path.join(_staged(settings), folder)) for folder in folders
    ]
    return [folder for folder, here, staged in pairs if not os.path.isdir(here) or tree(here) != tree(staged)]


def _swap(settings: Settings, folders: list[str]) -> str:
    """Two renames a folder: killed between them, what was there is in the folder that is kept, and asking again goes on."""
    kept = KEPT + time.strftime("%Y%m%d-%H%M%S")
    for folder in _differing(settings, folders):
        here = os.path.join(settings.home, folder)
        if os.path.lexists(here):
            aside = os.path.join(settings.home, kept, folder)
            os.makedirs(os.path.dirname(aside), 0o750, exist_ok=True)
            os.rename(here, aside)
        os.makedirs(os.path.dirname(here), 0o750, exist_ok=True)
        os.rename(os.path.join(_staged(settings), folder), here)
    os.sync()
    _clear(settings)
    return kept if os.path.isdir(os.path.join(settings.home, kept)) else ""


def reset(settings: Settings) -> dict[str, Any]:
    """The home as at first boot, but for the course's folders. Of the rest, what a person sees is moved into the first."""
    with locked():
        _belongs(settings)
        end_sessions(settings)
        try:
            moved = as_student(settings, lambda: _reset(settings))
            systemctl("restart", "systemd-tmpfiles-setup.service", check=False)
        finally:
            start_services(settings)
    return {"moved": moved}


def _reset(settings: Settings) -> str:
    """Settings and caches (.config, .local ...) go, for they are what breaks; other files were made by somebody."""
    course = {folder.split("/")[0] for folder in settings.folders}
    first = os.path.join(settings.home, settings.folders[0])
    os.makedirs(first, 0o750, exist_ok=True)
    aside = os.path.join(first, "before-reset-" + time.strftime("%Y%m%d-%H%M%S"))
    for entry in list(os.scandir(settings.home)):
        if entry.name in course or entry.name.startswith(KEPT):
            continue
        if not entry.name.startswith("."):
            os.makedirs(aside, 0o750, exist_ok=True)
            os.rename(entry.path, os.path.join(aside, entry.name))
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    _furnish(settings.home)
    return os.path.relpath(aside, settings.home) if os.path.isdir(aside) else ""


def _furnish(home: str) -> None:
    """What useradd puts into a new home."""
    for entry in os.scandir(SKELETON) if os.path.isdir(SKELETON) else ():
        there = os.path.join(home, entry.name)
        if entry.is_dir(follow_symlinks=False):
            shutil.copytree(entry.path, there, symlinks=True)
        else:
            shutil.copy2(entry.path, there, follow_symlinks=False)
