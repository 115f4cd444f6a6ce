"""QEMU's monitor, one question at a time: newline-separated JSON over a local socket (QEMU's qmp-spec)."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from provision.errors import CommandError

DEADLINE = 30.0  # seconds


def ask(monitor: Path, command: str, arguments: Mapping[str, object] | None = None) -> object:
    """What QEMU returns for `command`. Raises CommandError if it refuses or does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(DEADLINE)
            with short_name(monitor) as name:
                line.connect(name)
            with line.makefile("rw") as stream:
                stream.readline()  # its greeting
                _execute(stream, "qmp_capabilities", {})
                return _execute(stream, command, arguments or {})
    except (OSError, json.JSONDecodeError) as exc:
        raise CommandError(f"QEMU's monitor did not answer to {command}: {exc}") from exc


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Another name of `path` for as long as the context lasts: a local socket's may have 107 bytes (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _execute(stream: IO[str], command: str, arguments: Mapping[str, object]) -> object:
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while "event" in (answer := json.loads(stream.readline())):
        pass
    if "error" in answer:
        raise CommandError(f"QEMU refused {command}: {answer['error'].get('desc')}")
    return answer["return"]
