"""How a long story says where it is: the shape. The terminal and JSON-lines forms live in cli/."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Phase(Protocol):
    """One named step under way."""

    def update(self, done: float, total: float, unit: str = "") -> None:
        """Say that `done` of `total` are finished; `unit` is a word such as "bytes" or "machines"."""

    def note(self, text: str) -> None:
        """Say in a few words what happens just now."""

    def result(self, text: str) -> None:
        """Say in a few words what came of it: they stay when the phase is over."""


class Progress(Protocol):
    """Where phases are announced: `with progress.phase("Uploading") as phase:`. An exception marks the phase failed."""

    def phase(self, name: str) -> AbstractContextManager[Phase]:
        """Begin a phase called `name`, ended when the context is left."""

    def say(self, text: str) -> None:
        """One line that stays."""


class _SilentPhase:
    def update(self, done: float, total: float, unit: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def result(self, text: str) -> None:
        pass


class Silent:
    """A `Progress` that says nothing."""

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Begin a phase of which nothing is shown."""
        yield _SilentPhase()

    def say(self, text: str) -> None:
        """Say nothing."""


def amount(size: float) -> str:
    """A number of bytes as people read it."""
    for unit, name, places in ((2**30, "GiB", 2), (2**20, "MiB", 0), (2**10, "KiB", 0)):
        if size >= unit:
            return f"{size / unit:.{places}f} {name}"
    return f"{size:.0f} bytes"
