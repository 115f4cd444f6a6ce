"""The one way in which programs are started: logged so that it can be pasted, with a deadline, never in a shell."""

import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

from provision.errors import CommandError

log = logging.getLogger(__name__)

TAIL_LINES = 12
TERM_SECONDS = 30.0  # what a program may take to clean up after itself


def run(
    args: Sequence[str | Path],
    *,
    deadline: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run `args` to its end and return its exit code, stdout and stderr as text.

    `deadline` is in seconds. `env` is added to this process's environment. With `check`, an exit code other than 0
    raises `CommandError` with the last lines that the program printed.
    """
    words = [str(arg) for arg in args]
    log.debug("$ %s", shlex.join(words))
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline,
            env=_environment(env),
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as exc:
        raise CommandError(f"{words[0]} is not installed.", hint=f"Install {words[0]} and try again.") from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{words[0]} did not finish within {deadline:.0f} s: {shlex.join(words)}") from exc
    if check and done.returncode:
        raise CommandError(f"{words[0]} failed with exit code {done.returncode}: {shlex.join(words)}\n{tail(done)}")
    return done


def exchange(
    args: Sequence[str | Path],
    *,
    deadline: float,
    stdin: bytes | BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run `args` to its end, whatever its exit code, with bytes or a real file going in, and its output into one.

    Without `stdout` the output is in the result. `deadline` is in seconds.
    """
    words = [str(arg) for arg in args]
    log.debug("$ %s", shlex.join(words))
    body, source = (stdin, None) if isinstance(stdin, bytes) else (None, stdin or subprocess.DEVNULL)
    try:
        return subprocess.run(
            words,
            input=body,
            stdin=source,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=deadline,
            env=_environment(None),
            check=False,
        )
    except FileNotFoundError as exc:
        raise CommandError(f"{words[0]} is not installed.", hint=f"Install {words[0]} and try again.") from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{words[0]} did not finish within {deadline:.0f} s: {shlex.join(words)}") from exc


def follow(
    args: Sequence[str | Path],
    *,
    deadline: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run `args`, passing on each line of stdout and stderr as it is printed; a carriage return ends a line, too.

    The program and what it started are asked to end when the deadline (seconds) passes or when we are interrupted.
    """
    words = [str(arg) for arg in args]
    log.debug("$ %s", shlex.join(words))
    lines: deque[str] = deque(maxlen=TAIL_LINES)
    with _group(words, env) as child, _alarm(deadline, child):
        for line in filter(None, map(str.strip, child.stdout or ())):
            lines.append(line)
            on_line(line)
        code = child.wait()
    if code:
        said = "\n".join(f"  {line}" for line in lines)
        raise CommandError(f"{words[0]} failed with exit code {code}: {shlex.join(words)}\n{said}")


@contextmanager
def _group(words: list[str], env: Mapping[str, str] | None) -> Iterator[subprocess.Popen[str]]:
    """A program in a process group of its own, of which nothing is left when the context is."""
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(env),
            start_new_session=True,
        )
    except FileNotFoundError as exc:
        raise CommandError(f"{words[0]} is not installed.", hint=f"Install {words[0]} and try again.") from exc
    with child:
        try:
            yield child
        finally:
            if child.poll() is None:
                _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(TERM_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def _alarm(deadline: float, child: subprocess.Popen[str]) -> Iterator[None]:
    timer = threading.Timer(deadline, _end, [child])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def start(args: Sequence[str | Path], *, output: Path) -> int:
    """Start `args` in a session of its own, where it outlives us, with stdout and stderr going to `output`; its pid."""
    words = [str(arg) for arg in args]
    log.debug("$ %s >%s &", shlex.join(words), output)
    with output.open("wb") as stream:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    return child.pid


@contextmanager
def running(args: Sequence[str | Path], *, output: Path, cwd: Path | None = None) -> Iterator[Callable[[], int | None]]:
    """Run `args` for as long as the context lasts, with stdout and stderr going to `output`; then it is ended.

    It ends with us, too, when we are killed. Yields what asks for its exit code: None while it runs.
    """
    words = ["setpriv", "--pdeathsig", "KILL", *(str(arg) for arg in args)]
    log.debug("$ %s", shlex.join(words[3:]))
    with output.open("wb") as stream:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True, cwd=cwd
        )
    try:
        yield child.poll
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def become(args: Sequence[str | Path]) -> NoReturn:
    """Replace this process by `args`, which keeps the terminal and whose exit code is ours."""
    words = [str(arg) for arg in args]
    log.debug("$ exec %s", shlex.join(words))
    os.execvp(words[0], words)  # noqa: S606 - a list of arguments, never a shell


def find_program(name: str) -> str | None:
    """Where a program is that `run` would start, None if it is not installed."""
    return shutil.which(name, path=_environment(None)["PATH"])


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, with the folders of file system tools, which Debian has on the PATH of root alone."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return {**os.environ, "PATH": path, **(more or {})}


def tail(done: subprocess.CompletedProcess[str]) -> str:
    """The last lines that a finished program printed, indented, stderr preferred."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines)
