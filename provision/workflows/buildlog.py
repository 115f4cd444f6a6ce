"""A build's log, to paste: every phase with its time, every command that was run, Ansible's own words. No secrets."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.progress import Phase, Progress

LOG = "build.log"
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")  # in a URL: of a proxy, or of an index of packages

log = logging.getLogger("provision.build")


class _Formatter(logging.Formatter):
    """logging's own way to change what is written, which is to inherit."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


def without_passwords(text: str) -> str:
    """The text with the password of each URL replaced by three stars."""
    return _PASSWORD.sub(r"\1***@", text)


@contextmanager
def logged(file: Path, progress: Progress) -> Iterator[Progress]:
    """Append what is logged to `file` for as long as the context lasts; the progress that goes there, too."""
    handler = logging.FileHandler(file)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    package = logging.getLogger("provision")
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.DEBUG)
    try:
        yield Logged(progress)
    except BaseException as exc:
        log.info("Ended by %s: %s", type(exc).__name__, exc)
        raise
    finally:
        package.setLevel(before)
        package.removeHandler(handler)
        handler.close()


class Logged:
    """A `Progress` that is written to the log, too."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Begin a phase; its end, with its seconds and its result, is logged."""
        started, mark = time.monotonic(), "failed after"
        log.info("== %s", name)
        with self.progress.phase(name) as phase:
            words = _LoggedPhase(name, phase)
            try:
                yield words
                mark = "done in"
            finally:
                log.info("== %s: %s %.1f s%s", name, mark, time.monotonic() - started, words.came)

    def say(self, text: str) -> None:
        """Say and log a line."""
        log.info("%s", text)
        self.progress.say(text)


class _LoggedPhase:
    def __init__(self, name: str, phase: Phase) -> None:
        self.name, self.inner, self.came = name, phase, ""

    def update(self, done: float, total: float, unit: str = "") -> None:
        self.inner.update(done, total, unit)

    def note(self, text: str) -> None:
        log.info("%s: %s", self.name, text)
        self.inner.note(text)

    def result(self, text: str) -> None:
        self.came = f" ({text})"
        self.inner.result(text)
