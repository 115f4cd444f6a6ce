"""The bytes of an upload: made anew each time that they are sent, counted and summed on their way."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from provision.errors import InvalidInputError

CHUNK = 2**20


@dataclass(frozen=True)
class Body:
    """`size` bytes, known beforehand; `chunks()` makes them from the first on, each time that it is called."""

    size: int
    chunks: Callable[[], Iterator[bytes]]


def file_body(path: Path) -> Body:
    """The bytes of a file."""
    return Body(path.stat().st_size, lambda: _read(path))


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


class Sending:
    """A body as a request sends it. `sent` and `sums` (hex) are of the last time; `on_bytes` gets bytes sent and total.

    A request that is sent again, because a new token was needed, begins from the first byte.
    """

    def __init__(self, body: Body, sums: tuple[str, ...], on_bytes: Callable[[int, int], None]) -> None:
        self.body, self.on_bytes, self.sent = body, on_bytes, 0
        self._names = sums
        self._running = self._begin()

    def __len__(self) -> int:
        return self.body.size

    def __iter__(self) -> Iterator[bytes]:
        self.sent, self._running = 0, self._begin()
        # Beside the sending, each sum in its own thread: one after the other they take longer than a fast network.
        with ThreadPoolExecutor(len(self._running)) as pool:
            for chunk in self._chunks():
                summing = [pool.submit(running.update, chunk) for running in self._running.values()]
                yield chunk
                wait(summing)
                self.sent += len(chunk)
                self.on_bytes(self.sent, self.body.size)
        if not self.complete:  # the cloud would wait for the rest, or take the surplus for another request
            raise InvalidInputError(
                f"The source has changed while it was sent: it is no longer {self.body.size} bytes.",
                hint="Run the same command again.",
            )

    @property
    def complete(self) -> bool:
        """Whether every byte was handed to the connection."""
        return self.sent == self.body.size

    def sum(self, name: str) -> str | None:
        """The sum of that name over what was sent, in hex; None if it is not among those that are made."""
        return self._running[name].hexdigest() if name in self._running else None

    def _begin(self) -> dict[str, "hashlib._Hash"]:
        return {name: hashlib.new(name, usedforsecurity=name != "md5") for name in self._names}

    def _chunks(self) -> Iterator[bytes]:
        """The chunks. That the source cannot be read must not look as if the connection had broken."""
        try:
            yield from self.body.chunks()
        except OSError as exc:
            raise InvalidInputError(f"The source cannot be read: {exc.strerror}.") from exc


def sha256_of(body: Body) -> str:
    """The SHA-256 of the body, in hex, without sending it."""
    sending = Sending(body, ("sha256",), lambda *_: None)
    for _ in sending:
        pass
    return str(sending.sum("sha256"))
