"""Folders as a gzipped tar that proves itself: its last member is the SHA-256 of every file in it.

Only folders, files and links go in, and nothing else comes out, whatever a tar holds: names stay below the folders that
are expected, no link is followed, and a file that the manifest does not vouch for undoes it all.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import time
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from caretaking.common import WRONG, Refused

MANIFEST = ".provision-manifest.json"
VERSION = 1
BLOCK = 1 << 20
LEVEL = 1  # an emulated processor is slower than any network


def pack(home: str, folders: list[str], target: BinaryIO) -> dict[str, Any]:
    """Write those of the folders that are there into `target`; the manifest, which says what was left out, too."""
    files: dict[str, str] = {}
    skipped: list[str] = []
    there = [folder for folder in folders if os.path.isdir(os.path.join(home, folder))]
    with gzip.GzipFile("", "wb", LEVEL, target, 0) as packed, tarfile.open(mode="w|", fileobj=packed) as tar:
        for name in (name for folder in there for name in _names(home, folder, skipped)):
            try:
                digest = _add(tar, home, name)
            except OSError as error:  # unreadable, or gone since it was listed
                skipped.append(f"{name}: {error.strerror}")
                continue
            if digest:
                files[name] = digest
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        manifest = {"version": VERSION, "made": made, "folders": there, "files": files, "skipped": skipped}
        _add_bytes(tar, MANIFEST, json.dumps(manifest).encode())
    return manifest


def _names(home: str, folder: str, skipped: list[str]) -> Iterator[str]:
    """The folder and all in it, by paths below home, each folder before what is in it."""
    yield folder
    try:
        entries = sorted(os.scandir(os.path.join(home, folder)), key=lambda entry: entry.name)
    except OSError as error:
        skipped.append(f"{folder}: {error.strerror}")
        return
    for entry in entries:
        name = f"{folder}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _names(home, name, skipped)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield name
        else:
            skipped.append(f"{name}: neither a file nor a folder nor a link")


def _add(tar: tarfile.TarFile, home: str, name: str) -> str | None:
    """Add what is at `name`; a file's digest, of exactly the bytes that went in: it may change while it is read."""
    path = os.path.join(home, name)
    info = tarfile.TarInfo(name)
    seen = os.lstat(path)
    info.mode, info.mtime = stat.S_IMODE(seen.st_mode), int(seen.st_mtime)
    if stat.S_ISLNK(seen.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISDIR(seen.st_mode):
        info.type = tarfile.DIRTYPE
    else:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            info.size = os.fstat(stream.fileno()).st_size
            source = _Exactly(stream, info.size)
            tar.addfile(info, source)  # type: ignore[arg-type]  # of a file it asks read() alone
            return source.digest.hexdigest()
    tar.addfile(info)
    return None


class _Exactly:
    """So many bytes of a file: zeros where it was cut meanwhile."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.left, self.digest = stream, size, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self.left if size < 0 else min(size, self.left)
        block = self.stream.read(wanted).ljust(wanted, b"\0")
        self.left -= wanted
        self.digest.update(block)
        return block


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def unpack(source: BinaryIO, place: str, folders: list[str]) -> dict[str, Any]:
    """Unpack into the empty folder `place` what `pack` wrote of any of `folders`; the manifest, every file proved."""
    files: dict[str, str] = {}
    times: list[tuple[str, tarfile.TarInfo]] = []
    manifest: dict[str, Any] = {}
    try:
        with gzip.GzipFile(fileobj=source) as packed, tarfile.open(mode="r|", fileobj=packed) as tar:
            for member in tar:
                if manifest:
                    raise Refused(WRONG, "there is more behind the manifest")
                if member.name == MANIFEST:
                    manifest = _manifest(tar, member)
                    continue
                path = _path(place, member, folders)
                if digest := _take_out(tar, member, path):
                    files[member.name] = digest
                if not member.issym():
                    times.append((path, member))
            while packed.read(BLOCK):
                pass  # to the end, where gzip's own checksum is
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refused(WRONG, f"it is no backup, or a part of one is missing: {error}") from error
    _prove(files, manifest)
    for path, member in reversed(times):  # what is in a folder first: that changes the folder's
        os.chmod(path, member.mode & 0o777)
        os.utime(path, (member.mtime, member.mtime))
    return manifest


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    content = tar.extractfile(member)
    try:
        manifest = json.loads(content.read()) if content else None
    except ValueError as error:
        raise Refused(WRONG, f"its manifest is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        raise Refused(WRONG, f"its manifest is not of version {VERSION}")
    return manifest


def _path(place: str, member: tarfile.TarInfo, folders: list[str]) -> str:
    """Where a member goes. Every folder on the way must have been made before, as a folder."""
    parts = member.name.split("/")
    below = any(member.name == folder or member.name.startswith(folder + "/") for folder in folders)
    if not below or any(part in ("", ".", "..") for part in parts):
        raise Refused(WRONG, f"{member.name!r} is not below a folder of the course")
    path = place
    for part in parts[:-1]:
        path = os.path.join(path, part)
        if not os.path.lexists(path) and any(
            folder.startswith(os.path.relpath(path, place) + "/") for folder in folders
        ):
            os.mkdir(path)
        if os.path.islink(path) or not os.path.isdir(path):
            raise Refused(WRONG, f"{member.name!r} is in what is no folder")
    return os.path.join(path, parts[-1])


def _take_out(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> str | None:
    if os.path.lexists(path):
        raise Refused(WRONG, f"{member.name!r} is there twice")
    if member.isdir():
        os.mkdir(path, 0o700)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.isreg():
        return _take_file(tar, member, path)
    else:
        raise Refused(WRONG, f"{member.name!r} is neither a file nor a folder nor a link")
    return None


def _take_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> str:
    content, digest = tar.extractfile(member), hashlib.sha256()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as stream:
        while block := content.read(BLOCK) if content else b"":
            digest.update(block)
            stream.write(block)
    return digest.hexdigest()


def _prove(files: dict[str, str], manifest: dict[str, Any]) -> None:
    """Every file is the manifest's, and every one of the manifest's is there."""
    if not manifest:
        raise Refused(WRONG, "it has no manifest: a part of it is missing")
    said = manifest.get("files")
    if said != files:
        wrong = [name for name in {*files, *(said or ())} if files.get(name) != (said or {}).get(name)]
        raise Refused(WRONG, f"its manifest says otherwise of {len(wrong)} files, such as {min(wrong)!r}")


def tree(root: str) -> dict[str, tuple[int, str]]:
    """What is below a folder: of each path its mode, and a file's digest or a link's target. Two such are alike or not."""
    found = {}
    for name in _names(os.path.dirname(root), os.path.basename(root), skipped := []):
        path = os.path.join(os.path.dirname(root), name)
        seen = os.lstat(path)
        found[name] = (stat.S_IMODE(seen.st_mode), _content(path, seen.st_mode))
    return {**found, **{name: (0, "skipped") for name in skipped}}


def _content(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISDIR(mode):
        return ""
    digest = hashlib.sha256()
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
