"""The one way in which programs are started: logged so that it can be pasted, with a deadline, never in a shell."""

import logging
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from provision.errors import CommandError

log = logging.getLogger(__name__)

TAIL_LINES = 12


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
            env={**os.environ, **(env or {})},
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


def tail(done: subprocess.CompletedProcess[str]) -> str:
    """The last lines that a finished program printed, indented, stderr preferred."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines)
