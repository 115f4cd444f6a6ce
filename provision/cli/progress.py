"""Progress on a terminal, as JSON lines, or not at all. It goes to stderr: stdout is for results."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from provision.progress import Phase, Progress, Silent, amount

PLAIN_PAUSE = 20.0  # seconds between two notes of a phase where there is no terminal
FORMS = ("auto", "plain", "json", "none")


def make_progress(form: str) -> Progress:
    """The progress of one of `FORMS`; "auto" is the terminal's, or plain lines where stderr is no terminal."""
    if form == "none":
        return Silent()
    if form == "json":
        return JsonLines()
    return Terminal(Console(stderr=True, force_terminal=False if form == "plain" else None, highlight=False))


progress_option = click.option(
    "--progress",
    "form",
    type=click.Choice(FORMS),
    default="auto",
    show_default=True,
    help="How to show progress on stderr.",
)


def _amount(value: float, unit: str) -> str:
    return amount(value) if unit == "bytes" else f"{value:.0f}"


def _measure(done: float, total: float, unit: str, seconds: float) -> str:
    words = f"{_amount(done, unit)} of {_amount(total, unit)}" + ("" if unit == "bytes" else f" {unit}")
    if 0 < done < total and seconds > 2:
        rate = f", {_amount(done / seconds, unit)}/s" if unit == "bytes" else ""
        words += f"{rate}, about {seconds * (total - done) / done:.0f} s left"
    return words


class _TerminalPhase:
    def __init__(self, name: str, console: Console, status: Status | None) -> None:
        self.name, self.console, self.status = name, console, status
        self.started = self.spoken = time.monotonic()
        self.words = ""

    def update(self, done: float, total: float, unit: str = "") -> None:
        self.note(_measure(done, total, unit, time.monotonic() - self.started))

    def note(self, text: str) -> None:
        if self.status:
            self.status.update(f"{self.name}: {escape(text)}")
        elif time.monotonic() - self.spoken > PLAIN_PAUSE:
            self.spoken = time.monotonic()
            _print(self.console, f"  {self.name}: {escape(text)}")

    def result(self, text: str) -> None:
        self.words = f" ({text})"


class Terminal:
    """One line for a phase: live while it runs, with its time once it is done. Without a terminal, plain lines."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Show the phase as it goes, then leave one line with its mark, its result and its seconds."""
        status = self.console.status(name) if self.console.is_terminal else None
        phase = _TerminalPhase(name, self.console, status)
        mark = "[red]✗[/red]"
        if not status:
            _print(self.console, f"… {name}")
        try:
            with status or nullcontext():
                yield phase
            mark = "[green]✓[/green]"
        finally:
            seconds = time.monotonic() - phase.started
            _print(self.console, f"{mark} {name}{escape(phase.words)}  [dim]{seconds:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, markup=False, soft_wrap=True)


class _JsonPhase:
    def __init__(self, name: str) -> None:
        self.name = name

    def update(self, done: float, total: float, unit: str = "") -> None:
        _emit(phase=self.name, state="running", done=done, total=total, unit=unit)

    def note(self, text: str) -> None:
        _emit(phase=self.name, state="running", note=text)

    def result(self, text: str) -> None:
        _emit(phase=self.name, state="running", result=text)


class JsonLines:
    """One JSON object a line: `phase`, `state` (started, running, done, failed), `seconds`."""

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Emit the phase's start, its updates, and its end with the seconds that it took."""
        started, state = time.monotonic(), "failed"
        _emit(phase=name, state="started")
        try:
            yield _JsonPhase(name)
            state = "done"
        finally:
            _emit(phase=name, state=state, seconds=round(time.monotonic() - started, 1))

    def say(self, text: str) -> None:
        """Emit a message."""
        _emit(message=text)


def _print(console: Console, words: str) -> None:
    console.print(words, soft_wrap=True)


def _emit(**fields: object) -> None:
    sys.stderr.write(json.dumps(fields) + "\n")
