"""The files of ext2, ext3 and ext4 filesystems by their paths, as a machine that mounted them would see them."""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from provision.disks.inside.ext4 import INLINE, Ext4, Inode, check_features, read_inode
from provision.disks.inside.ext4_content import chunks, content

ROOT = 2  # the inode of /
FOLDER_BYTES = 2**22  # the largest folder that is read
LINKS = 40  # what the kernel follows on one path
LONGEST_TARGET = 4096  # PATH_MAX
KEPT_NAMES = 50_000


class _Step(NamedTuple):
    """One part of a path: its name, what it is, and where that is."""

    name: str
    inode: Inode
    filesystem: Ext4


class Tree:
    """The files of filesystems that are mounted below one another, by their paths.

    `mounts` says what is at / and at other paths. Symbolic links lead nowhere outside, as if / were the root.
    """

    def __init__(self, mounts: Mapping[str, Ext4]) -> None:
        for filesystem in mounts.values():
            check_features(filesystem)
        self._mounts = mounts
        self._folders: dict[tuple[int, int], dict[str, int]] = {}

    def read(self, path: str, limit: int) -> bytes | None:
        """An ordinary file's content, None if there is none. Raises InvalidInputError for one longer than `limit`."""
        found = self._find(path)
        return content(found.filesystem, found.inode, limit) if found and found.inode.is_file else None

    def stream(self, path: str) -> Iterator[bytes]:
        """An ordinary file's content piece by piece; nothing if there is none."""
        found = self._find(path)
        return chunks(found.filesystem, found.inode) if found and found.inode.is_file else iter(())

    def names(self, path: str) -> tuple[str, ...]:
        """What is in a folder, sorted; nothing if there is none."""
        found = self._find(path)
        return tuple(sorted(self._folder(found))) if found and found.inode.is_folder else ()

    def real(self, path: str) -> str | None:
        """The path with its links followed; None if nothing is there."""
        way = self._way(path)
        return _path(way) if way else None

    def _find(self, path: str) -> _Step | None:
        way = self._way(path)
        return way[-1] if way else None

    def _way(self, path: str) -> list[_Step] | None:
        """The folders, and the file, that `path` leads through once links are followed; None if that ends before."""
        root = self._mounts["/"]
        way, followed = [_Step("", read_inode(root, ROOT), root)], 0
        parts = path.split("/")[::-1]
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            if part == "..":
                way = way[:-1] or way
                continue
            step = self._step(way, part)
            if not step:
                return None
            if not step.inode.is_link:
                way.append(step)
                continue
            followed += 1
            if followed > LINKS:
                return None
            target = content(step.filesystem, step.inode, LONGEST_TARGET).decode(errors="replace")
            way = way[:1] if target.startswith("/") else way
            parts.extend(target.split("/")[::-1])
        return way

    def _step(self, way: list[_Step], name: str) -> _Step | None:
        """What is called `name` in the folder at the end of `way`: its own, or the root of what is mounted there."""
        here = way[-1]
        number = self._folder(here).get(name) if here.inode.is_folder else None
        if number is None:
            return None
        if mounted := self._mounts.get(_path([*way, here._replace(name=name)])):
            return _Step(name, read_inode(mounted, ROOT), mounted)
        return _Step(name, read_inode(here.filesystem, number), here.filesystem)

    def _folder(self, step: _Step) -> dict[str, int]:
        key = (id(step.filesystem), step.inode.number)
        if key not in self._folders:
            if sum(map(len, self._folders.values())) > KEPT_NAMES:
                self._folders.clear()
            self._folders[key] = dict(entries(step.filesystem, step.inode))
        return self._folders[key]


def _path(way: list[_Step]) -> str:
    return "/" + "/".join(step.name for step in way[1:])


def entries(filesystem: Ext4, inode: Inode) -> Iterator[tuple[str, int]]:
    """The (name, inode) pairs of a folder, without . and .. The index of a large one looks like empty entries."""
    raw = content(filesystem, inode, FOLDER_BYTES)
    if inode.flags & INLINE:
        yield from _entries(filesystem, raw[4:60])  # the first 4 bytes are the parent's inode
        yield from _entries(filesystem, raw[60:])
        return
    for start in range(0, len(raw), filesystem.block_size):
        yield from _entries(filesystem, raw[start : start + filesystem.block_size])


def _entries(filesystem: Ext4, block: bytes) -> Iterator[tuple[str, int]]:
    place = 0
    while place + 8 <= len(block):
        number, length, size = struct.unpack_from("<IHB", block, place)
        if length in (0, 0xFFFF):
            length = len(block)  # of 64 KiB, which 16 bits cannot say
        if length < 8 + size or place + length > len(block):
            raise filesystem.damaged("has a folder whose entries overlap")
        name = block[place + 8 : place + 8 + size]
        if number and name not in (b".", b".."):
            yield name.decode(errors="replace"), number
        place += length
