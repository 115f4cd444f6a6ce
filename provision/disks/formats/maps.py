"""Tables in disk files that say where blocks lie, read without a step for every block that is not there."""

import sys
from array import array
from collections.abc import Iterator
from typing import Literal

from provision.disks.window import AGAIN, Window
from provision.errors import InvalidInputError

PIECES = 2**20  # runs of blocks that we sort, in 60 MB of memory; what is in more is not read
_STEPS = (2**16, 2**12, 2**8)  # bytes: what is read at once, and the pieces of it that are compared with nothing


def entries(
    window: Window,
    place: int,
    count: int,
    code: Literal["I", "Q"],
    order: Literal["little", "big"],
    free: bytes = b"\0",
) -> Iterator[tuple[int, int]]:
    """The number and value of each entry in use, of the `count` entries of 32 ("I") or 64 bits ("Q") from `place` on.

    An entry that is not in use consists of the byte `free`.
    """
    width = array(code).itemsize
    unused, end = int.from_bytes(free * width), place + count * width
    for start in range(place, end, _STEPS[0]):
        content = window.pread(start, min(_STEPS[0], end - start))
        for at, piece in _used(content, _STEPS, free * _STEPS[0]):
            values = array(code, piece)
            if sys.byteorder != order:
                values.byteswap()
            for number, value in enumerate(values, (start + at - place) // width):
                if value != unused:
                    yield number, value


def _used(content: bytes, steps: tuple[int, ...], nothing: bytes) -> Iterator[tuple[int, bytes]]:
    """The smallest pieces of `content` that are not as `nothing`, and where they begin."""
    for at in range(0, len(content), steps[0]):
        piece = content[at : at + steps[0]]
        if piece == nothing[: len(piece)]:
            continue
        if len(steps) == 1:
            yield at, piece
        else:
            yield from ((at + more, smaller) for more, smaller in _used(piece, steps[1:], nothing))


def damaged(window: Window, place: int, what: str) -> InvalidInputError:
    """The error for a disk file that is wrong at byte `place`."""
    return InvalidInputError(f"{window.name} is damaged at byte {place}: {what}.", hint=AGAIN)
