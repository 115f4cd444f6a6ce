"""Ports of this computer that lead into a machine through the system's ssh, for as long as they are held open.

The connection is a ControlMaster of its own: ssh itself answers whether it stands, takes further forwards, and ends
with us, killed or not. A link that drops is made again, at the same ports.
"""

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from provision.errors import CommandError, InvalidInputError
from provision.guests.access import Access
from provision.guests.ssh import ssh_command
from provision.paths import runtime_home
from provision.process import run, running

HERE = "127.0.0.1"
LOOK = 0.2  # seconds between two looks at a connection
LONGEST = 30.0  # seconds between two tries
CONNECT = 15.0  # seconds that one try may take
# Noticed within 15 seconds: what a person takes for a page that loads slowly.
_ALIVE = ("ServerAliveInterval=5", "ServerAliveCountMax=3", f"ConnectTimeout={CONNECT:.0f}")
_HOPELESS = {
    r"Permission denied \(": "Its SSH takes another key. Name the folder of the launch that made it: --handout",
    r"Host key verification failed|IDENTIFICATION HAS CHANGED": "It is not the machine that was known by this name. "
    "If it was made anew on purpose, remove its line from the handout folder's known_hosts.",
    r"administratively prohibited|forwarding is disabled": "Its sshd lets nobody forward ports (AllowTcpForwarding).",
    r"bad configuration option|Bad owner or permissions|unprotected private key": "Mend what ssh names there.",
}


@dataclass(frozen=True)
class Forward:
    """The local `port` leads to `there` on `host`, a name as the machine sees it."""

    port: int
    there: int
    host: str = HERE

    def __str__(self) -> str:
        where = f"port {self.there}" if self.host == HERE else f"{self.host}:{self.there}"
        return f"{HERE}:{self.port} leads to {where} of the machine"


@dataclass(frozen=True)
class Tunnel:
    """What leads where; `jump` is a host on the way (ssh's ProxyJump). `control` is ssh's socket, `log` its words."""

    access: Access
    forwards: tuple[Forward, ...]
    control: Path
    log: Path
    jump: str | None = None


@contextmanager
def new_tunnel(access: Access, forwards: Sequence[Forward], jump: str | None = None) -> Iterator[Tunnel]:
    """A tunnel's files, for as long as it is used; what a run that was killed left behind is cleared away first."""
    folder = runtime_home()
    _sweep(folder)
    # Short: a socket's path has at most 107 bytes, of which ssh wants some for a name of its own.
    stem = f"{hashlib.sha256(access.host_alias.encode()).hexdigest()[:8]}-{os.getpid()}"
    tunnel = Tunnel(access, tuple(forwards), folder / stem, folder / f"{stem}.log", jump)
    try:
        yield tunnel
    finally:
        _clear(tunnel.control)


def _sweep(folder: Path) -> None:
    """End the connections of runs that are no more, and forget them."""
    for control in {path.with_suffix("") for path in folder.iterdir()}:
        ours = re.fullmatch(r"[0-9a-f]{8}-([0-9]+)", control.name)
        if ours and not Path(f"/proc/{ours[1]}").exists():
            if control.exists():
                run(["ssh", "-O", "exit", "-S", control, "nobody"], deadline=10, check=False)
            _clear(control)


def _clear(control: Path) -> None:
    for path in control.parent.glob(f"{control.name}*"):
        path.unlink(missing_ok=True)


def free_port(wanted: int = 0) -> int:
    """A port of this computer that is free now: `wanted`, if it is."""
    for port in (wanted, 0):
        with suppress(OSError), socket.socket() as probe:
            # As ssh does: a port whose last connections only linger is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HERE, port))
            return int(probe.getsockname()[1])
    raise InvalidInputError("This computer has no free port.")


def usual_port(access: Access) -> int:
    """A free port for the machine's pages, the same each time if it can be: bookmarks go on working."""
    return free_port(20000 + int(hashlib.sha256(access.host_alias.encode()).hexdigest()[:8], 16) % 10000)


def tunnel_command(tunnel: Tunnel) -> list[str]:
    """The ssh that holds the tunnel open."""
    words = [
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
        "SessionType=none",
        "ControlMaster=yes",
        "ControlPersist=no",
        f"ControlPath={tunnel.control}",
        *_ALIVE,
        *([f"ProxyJump={tunnel.jump}"] if tunnel.jump else []),
        *(f"LocalForward={HERE}:{each.port} {each.host}:{each.there}" for each in tunnel.forwards),
    ]
    return ssh_command(tunnel.access, options=words)


def through(tunnel: Tunnel, *remote: str) -> list[str]:
    """The ssh that runs `remote` through a tunnel that stands."""
    return ssh_command(tunnel.access, *remote, options=(f"ControlPath={tunnel.control}", "BatchMode=yes"))


def lend_port(tunnel: Tunnel, port: int) -> int:
    """Have a port of the machine's loopback, which it chooses, lead to the local `port`; which it is."""
    command: list[str | Path] = [
        "ssh",
        "-O",
        "forward",
        "-S",
        tunnel.control,
        "-R",
        f"{HERE}:0:{HERE}:{port}",
        tunnel.access.address,
    ]
    said = run(command, deadline=60).stdout.strip()
    if not said.isdigit():
        raise CommandError(f"ssh did not say which port it took on the machine, but: {said or 'nothing'}")
    return int(said)


def hold_open(
    tunnel: Tunnel,
    *,
    answers: Callable[[], bool],
    on_up: Callable[[], None],
    say: Callable[[str], None],
    deadline: float,
    stop: Event,
) -> None:
    """Hold the tunnel open until `stop`. Each time that `answers` finds it of use, `on_up` is called.

    What drops is made again, ever less often. Raises CommandError if it is hopeless, or never was of use within
    `deadline` seconds.
    """
    end, was_up, tries = time.monotonic() + deadline, False, 0
    while not stop.is_set():
        tunnel.control.unlink(missing_ok=True)  # where one is left, ssh would not be a master
        with running(tunnel_command(tunnel), output=tunnel.log) as poll:
            up = _await(tunnel, poll, answers, None if was_up else end, stop)
            if up:
                was_up, tries = True, 0
                on_up()
                while poll() is None and not stop.wait(LOOK):
                    pass
        if stop.is_set():
            return
        words = _words(tunnel)
        if not was_up and time.monotonic() > end:
            raise CommandError(f"No way into the machine within {deadline:.0f} s: {words}", hint=_WHY)
        wait = min(LONGEST, 2.0**tries)
        say(f"The link {'dropped' if up else 'is down'} ({words}). It is made again in {wait:.0f} s.")
        tries += 1
        stop.wait(wait)


def _await(
    tunnel: Tunnel, poll: Callable[[], int | None], answers: Callable[[], bool], end: float | None, stop: Event
) -> bool:
    """Whether it came to be of use. Raises CommandError if no other try will do better."""
    while poll() is None and not stop.is_set():
        if tunnel.control.exists() and answers():
            return True
        if end is not None and time.monotonic() > end:
            return False
        stop.wait(LOOK)
    said = tunnel.log.read_text(errors="replace")
    for pattern, hint in _HOPELESS.items():
        if not stop.is_set() and re.search(pattern, said, re.IGNORECASE):
            raise CommandError(f"ssh cannot hold a way into the machine: {_words(tunnel)}", hint=hint)
    return False


def is_listening(port: int) -> bool:
    """Whether the local port takes a connection: ssh opens it once it is signed in."""
    with suppress(OSError), socket.create_connection((HERE, port), timeout=CONNECT):
        return True
    return False


def _words(tunnel: Tunnel) -> str:
    """What ssh said last."""
    lines = [line.strip() for line in tunnel.log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no answer"


_WHY = (
    "May this computer use SSH there (cohort.toml: [access] ssh)? If so: provision diagnose COHORT STUDENT. "
    "A host on the way is named with --jump."
)
