"""What the machine does now: kernels, terminals, who is connected, and whether it computes while nobody looks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import pwd
import re
import time
from collections.abc import Iterator
from typing import Any

from caretaking.common import Settings, record

SAMPLE = 1.0  # seconds over which processor time is measured
COMPUTES = 0.25  # of one processor: JupyterLab, OpenRefine and idle kernels together use a few hundredths
PATIENCE = 10.0
ESTABLISHED = "01"
USER = {"username": "caretaker", "name": "caretaker", "display_name": "caretaker"}
_NAME_REST = {"initials": None, "avatar_url": None, "color": None}


def seen(settings: Settings) -> dict[str, Any]:
    """The facts; what Jupyter does not answer counts as nothing, for then there is nothing of it that works."""
    kernels, terminals = (_jupyter(settings, what) for what in ("kernels", "terminals"))
    busy = sum(kernel.get("execution_state") == "busy" for kernel in kernels)
    used = _processor(settings)
    return {
        "kernels_busy": busy,
        "kernels": len(kernels),
        "terminals": len(terminals) + _logins(settings),
        "connections": _connections(settings.public_ports),
        "last_activity": _last(settings, [*kernels, *terminals]),
        "load": os.getloadavg()[0],
        "computing": busy > 0 or used > COMPUTES,
    }


def _jupyter(settings: Settings, what: str) -> list[dict[str, Any]]:
    """What Jupyter has of kernels or terminals, asked as somebody who is signed in; asking is no activity of theirs."""
    host = f"127.0.0.1:{settings.jupyter_port}"
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    try:
        connection.request("GET", f"/api/{what}?no_track_activity=1", headers={"Cookie": _cookie(settings, host)})
        answer = connection.getresponse()
        return list(json.load(answer)) if answer.status == http.client.OK else []
    except (OSError, ValueError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def _cookie(settings: Settings, host: str) -> str:
    """Jupyter's own login cookie. Its secret is the file's with the password's hash, its format is Tornado's second."""
    with open(settings.cookie_file, "rb") as stream:
        key = stream.read()
    with open(settings.password_file) as stream:
        secret = hmac.new(key, stream.read().strip().encode(), hashlib.sha256).digest()
    name = re.sub(r"[^A-Za-z0-9]", "-", f"username-{host}")
    value = base64.b64encode(json.dumps({**USER, **_NAME_REST}).encode()).decode()
    fields = [f"{len(each)}:{each}" for each in ("0", str(int(time.time())), name, value)]
    signed = "|".join(["2", *fields, ""])
    return f'{name}="{signed}{hmac.new(secret, signed.encode(), hashlib.sha256).hexdigest()}"'


def _last(settings: Settings, open_: list[dict[str, Any]]) -> str | None:
    """When a kernel or terminal last did something, or the machine was given to its student, whichever is later."""
    times = [str(each["last_activity"]) for each in open_ if each.get("last_activity")]
    if record(settings).get("password_hash"):
        given = time.gmtime(os.stat(settings.student_file).st_mtime)
        times.append(time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", given))
    return max(times, default=None)


def _connections(ports: list[int]) -> int:
    """Open connections to the pages."""
    return sum(state == ESTABLISHED and port in ports for _, port, state in sockets())


def sockets() -> Iterator[tuple[str, int, str]]:
    """TCP's sockets, as the kernel writes them (proc(5)): local address in hexadecimal, port, state."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}") as stream:
                lines = stream.readlines()[1:]
        except FileNotFoundError:
            continue
        for words in map(str.split, lines):
            address, port = words[1].split(":")
            yield address, int(port, 16), words[3]


def _logins(settings: Settings) -> int:
    """The student's own sessions over SSH: sshd serves each as its user."""
    return sum(comm.startswith("sshd") for comm, _ in _stats(settings))


def _processor(settings: Settings) -> float:
    """How many processors the student's programs use, measured."""
    before, start = _ticks(settings), time.monotonic()
    time.sleep(SAMPLE)
    used = (_ticks(settings) - before) / os.sysconf("SC_CLK_TCK")
    return max(0.0, used / (time.monotonic() - start))


def _ticks(settings: Settings) -> int:
    return sum(ticks for _, ticks in _stats(settings))


def _stats(settings: Settings) -> Iterator[tuple[str, int]]:
    """Of each process of the student's its name and the processor time that it has used, in clock ticks."""
    uid = pwd.getpwnam(settings.user).pw_uid
    for entry in os.scandir("/proc"):
        try:
            if not entry.name.isdigit() or entry.stat().st_uid != uid:
                continue
            with open(f"/proc/{entry.name}/stat") as stream:
                name, _, rest = stream.read().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = rest.split()
        yield name, int(fields[11]) + int(fields[12])
