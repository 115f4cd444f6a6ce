"""A run of bytes in a source file: a file itself, or a member of a tar, gzipped or not. Nothing is unpacked to disk."""

import os
import stat
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from provision.disks.memory import give_back
from provision.errors import InvalidInputError

AGAIN = "Fetch or export it again."
GZIP_MAGIC = b"\x1f\x8b"
_READ, _FIRST = 2**16, 2**12  # bytes of a gzip file fed to zlib at once; after the beginning of a member, fewer
_FREED = 2**22  # bytes of output after which freed memory is given back
_KEPT = 3 * 2**19  # bytes of output kept behind the furthest place that was read: a batch, and some
_STEP = 2**27  # bytes of output between two points from which it can be read again, at first
_POINTS = 256  # of which each takes about 40 KiB of memory; of more, every second is forgotten
_BOMB_FREE, _BOMB_RATIO = 2**30, 200  # an archive may inflate to 1 GiB, then to 200 times what was read of it


class Window(Protocol):
    """A run of bytes that can be read anywhere; `name` is for messages, `size` in bytes.

    `file` is the descriptor of the file that holds it as it is, from byte `base` on, or None.
    """

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    @property
    def file(self) -> int | None:
        """The open file that holds its bytes."""

    @property
    def base(self) -> int:
        """Where in the file it begins."""

    def pread(self, place: int, length: int) -> bytes:
        """Exactly `length` bytes from `place`. Raises InvalidInputError if they are not all there."""

    def part(self, name: str, place: int, size: int) -> "Window":
        """The `size` bytes from `place` as a window of its own."""


@dataclass(frozen=True)
class FileWindow:
    """A run of an open file."""

    name: str
    size: int
    file: int
    base: int = 0

    def pread(self, place: int, length: int) -> bytes:
        """Exactly `length` bytes from `place`."""
        if place < 0 or length < 0 or place + length > self.size:
            raise beyond(self, place, length)
        read = self._some(place, length)
        while len(read) < length:
            more = self._some(place + len(read), length - len(read))
            if not more:
                raise beyond(self, place, length)
            read += more
        return read

    def _some(self, place: int, length: int) -> bytes:
        try:
            return os.pread(self.file, length, self.base + place)
        except OSError as exc:
            raise InvalidInputError(f"{self.name} cannot be read at byte {place}: {exc.strerror}.") from exc

    def part(self, name: str, place: int, size: int) -> "FileWindow":
        """The `size` bytes from `place` as a window of its own. Raises InvalidInputError if they are not all there."""
        if place < 0 or size < 0 or place + size > self.size:
            raise beyond(self, place, size)
        return FileWindow(name, size, self.file, self.base + place)


def beyond(window: Window, place: int, length: int) -> InvalidInputError:
    """The error for bytes that a file says it has, and has not."""
    return InvalidInputError(
        f"{window.name} is cut off or wrong: {length} bytes at byte {place} are wanted, and it ends at {window.size}.",
        hint=AGAIN,
    )


class _Inflated:
    """A gzip file's content. Reading forward costs one pass; behind it, some 128 MiB are inflated again."""

    def __init__(self, name: str, file: int) -> None:
        self.name, self.file, self.length = name, file, os.fstat(file).st_size
        self.fed, self.feed, self.inflate, self.done = 0, _FIRST, zlib.decompressobj(31), False
        self.start, self.end = 0, 0  # of the content that is kept, in pieces
        self.kept: deque[bytes] = deque()
        self.points, self.step = [(0, 0, self.inflate.copy())], _STEP

    def pread(self, place: int, length: int) -> bytes:
        known = bisect_right(self.points, place, key=lambda point: point[0]) - 1
        if place < self.start or self.points[known][0] > self.end:
            self._begin_at(known)
        while self.end < place + length and self._more(place):
            pass
        return b"".join(self._kept(place, place + length))

    def _kept(self, place: int, end: int) -> Iterator[memoryview]:
        start = self.start
        for piece in self.kept:
            if start < end and start + len(piece) > place:
                yield memoryview(piece)[max(0, place - start) : end - start]
            start += len(piece)

    def finish(self) -> None:
        """Read what is left, up to the checksum at the end of the file."""
        while self._more(self.end):
            pass

    def _begin_at(self, known: int) -> None:
        self.start, self.fed, point = self.points[known]
        self.inflate, self.done, self.end = point.copy(), False, self.start
        self.kept.clear()

    def _more(self, wanted: int) -> bool:
        """Inflate some more, dropping what lies further than `_KEPT` before `wanted`; False at the end."""
        if self.done:
            return False
        if self.end >= self.points[-1][0] + self.step and not self.inflate.unconsumed_tail:
            self._remember()
        packed = self.inflate.unconsumed_tail or self._feed()
        try:
            piece = self.inflate.decompress(packed, 2 * _READ)
        except zlib.error as exc:
            raise InvalidInputError(f"{self.name} is damaged near byte {self.fed}: {exc}.", hint=AGAIN) from exc
        if self.end // _FREED != (self.end + len(piece)) // _FREED:
            give_back()
        self.end += len(piece)
        if self.kept and len(self.kept[-1]) < _FIRST:  # else a file of tiny members has millions of pieces
            piece = self.kept.pop() + piece
        self.kept.append(piece)
        self._turn_over(bool(packed))
        self._drop(wanted)
        return True

    def _remember(self) -> None:
        if len(self.points) >= _POINTS:
            del self.points[1::2]
            self.step *= 2
        self.points.append((self.end, self.fed, self.inflate.copy()))

    def _feed(self) -> bytes:
        try:
            packed = os.pread(self.file, self.feed, self.fed)
        except OSError as exc:
            raise InvalidInputError(f"{self.name} cannot be read at byte {self.fed}: {exc.strerror}.") from exc
        self.fed += len(packed)
        self.feed = min(2 * self.feed, _READ)
        return packed

    def _turn_over(self, fed: bool) -> None:
        """At the end of one gzip member begin the next, if there is one; refuse a file that is cut off, or a bomb."""
        if self.inflate.eof:
            self.fed -= len(self.inflate.unused_data)
            self.feed = _FIRST  # else a file of tiny members is read again and again
            if os.pread(self.file, 2, self.fed) == GZIP_MAGIC:
                self.inflate = zlib.decompressobj(31)
            else:
                self._end()
        elif not fed:
            raise InvalidInputError(f"{self.name} is cut off at byte {self.fed}.", hint=AGAIN)
        if self.end > _BOMB_FREE + self.fed * _BOMB_RATIO:
            raise InvalidInputError(
                f"{self.name} inflates to more than {_BOMB_RATIO} times its size (seen at byte {self.fed}).",
                hint="That is no disk but a bomb; unpack it yourself if you know better.",
            )

    def _end(self) -> None:
        """Nothing may follow the last member but zeros, with which tapes and some copies fill up."""
        if os.pread(self.file, _FIRST, self.fed).strip(b"\0"):
            raise InvalidInputError(f"{self.name} has something behind its end at byte {self.fed}.", hint=AGAIN)
        self.done = True

    def _drop(self, wanted: int) -> None:
        while self.kept and self.start + len(self.kept[0]) <= wanted - _KEPT:
            self.start += len(self.kept.popleft())


@dataclass(frozen=True)
class GzipWindow:
    """A run of a gzip file's content, best read from its beginning to its end."""

    name: str
    size: int
    content: _Inflated = field(repr=False)
    base: int = 0
    file: None = None

    def pread(self, place: int, length: int) -> bytes:
        """Exactly `length` bytes from `place`."""
        if place < 0 or length < 0 or place + length > self.size:
            raise beyond(self, place, length)
        read = self.content.pread(self.base + place, length)
        if len(read) < length:
            raise beyond(replace(self, size=place + len(read)), place, length)
        return read

    def part(self, name: str, place: int, size: int) -> "GzipWindow":
        """The `size` bytes from `place` as a window of its own."""
        return GzipWindow(name, size, self.content, self.base + place)


@contextmanager
def opened_file(path: Path) -> Iterator[FileWindow]:
    """The ordinary file at `path`, open for reading as long as the context lasts."""
    try:
        # O_NONBLOCK: to open a pipe must not wait for its other end
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as exc:
        raise InvalidInputError(f"There is no file {path}.") from exc
    except OSError as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc.strerror}.") from exc
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise InvalidInputError(f"{path} is no ordinary file.")
        yield FileWindow(path.name, facts.st_size, file)
    finally:
        os.close(file)


def inflated(window: FileWindow) -> Window:
    """The content of `window` if that is gzip (its size is not known: taken as endless), else `window` itself."""
    if window.size < 18 or window.pread(0, 2) != GZIP_MAGIC:
        return window
    return GzipWindow(window.name, 2**63, _Inflated(window.name, window.file))
