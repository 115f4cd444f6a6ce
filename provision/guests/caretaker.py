"""What the toolkit asks of a machine from inside: an account that runs one program, which knows seven verbs.

The image has the account (roles/caretaker), the machine's user-data its public key, the handout folder the private one.
Bodies and answers go through the connection alone: nothing of them is in a command line or a log.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from provision.errors import CommandError, InvalidInputError, NotFoundError, ProvisionError
from provision.guests.access import Access
from provision.guests.ssh import ssh_command
from provision.process import exchange

T = TypeVar("T")

USER = "caretaker"
TALK = 60.0  # seconds for a verb that moves no files, on an emulated machine that is busy
TRANSFER = 3600.0  # seconds for one that does
_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "RequestTTY=no",
)
_UNREACHED = 255  # ssh's own exit code
_WRONG, _TAKEN, _NOBODYS, _UNKNOWN = 2, 4, 5, 64  # the program's; see roles/caretaker/files/caretaking/common.py
_OLD = "Its image is older than this command: build and publish it again, then launch or repair."
_OTHER_KEY = (
    "Was it launched from another folder, or before the cohort had a caretaker's key? The key's file is `caretaker` "
    "in the cohort's handout folder (--handout); a machine that is launched anew knows it."
)
_REBUILT = "If the machine was rebuilt, remove its line from that file: ssh-keygen -R ALIAS -f FILE"
_CLOSED = (
    "The machine may be off; or its network is closed to this computer: ssh_cidr in cohort.toml says who may use SSH "
    "(launching again applies it to new machines)."
)


class TakenError(ProvisionError):
    """The machine is another student's, and stays so."""


class UnreachableError(CommandError):
    """No way to the machine's caretaker: no answer on its SSH port, or one that does not know our key."""


_KINDS: dict[int, type[ProvisionError]] = {_WRONG: InvalidInputError, _TAKEN: TakenError, _NOBODYS: NotFoundError}


@dataclass(frozen=True)
class Door:
    """The caretaker's own way into a machine; see guests.access.Access, of which it needs no more."""

    address: str
    port: int
    key: Path
    host_alias: str
    known_hosts: Path


@dataclass(frozen=True)
class Claim:
    """Whose a machine becomes. `hostname` is what it calls itself from then on, None for no change."""

    student: str
    password_hash: str = field(repr=False)
    ssh_keys: tuple[str, ...]
    hostname: str | None = None


@dataclass(frozen=True)
class Activity:
    """What a machine does. `last_activity` is when its student last did something, None if that is unknown.

    `computing` is true while a kernel is busy or the student's programs use a processor, whoever watches.
    `load` is the mean number of running programs over a minute, `connections` counts open ones to the pages.
    """

    kernels_busy: int
    kernels: int
    terminals: int
    connections: int
    last_activity: datetime | None
    load: float
    computing: bool


@dataclass(frozen=True)
class Facts:
    """What a machine knows of its own health; see roles/caretaker for where each comes from.

    `failed` are units and why systemd gave them up, `oom` the programs that the kernel ended for want of memory (newest
    last), `full` file systems and their use in percent (90 and more), `not_executable` programs of units that lack the
    execute bit, `password_file` and `cookie_file` "absent" or "MODE OWNER:GROUP", `listening` TCP ports, loopback's
    marked so, `cloud_init` its result's errors, `student` whose the machine is ("" for nobody's).
    """

    student: str
    failed: Mapping[str, str]
    oom: tuple[str, ...]
    full: Mapping[str, int]
    not_executable: tuple[str, ...]
    password_file: str
    cookie_file: str
    listening: tuple[str, ...]
    cloud_init: tuple[str, ...]
    memory_mb: int
    uptime: float


@dataclass(frozen=True)
class Restored:
    """What a restore did: how many files it proved, and the folder of the home where what was there before is now.

    `kept` is empty if nothing differed.
    """

    files: int
    kept: str


def door_to(access: Access, key: Path) -> Door:
    """The caretaker's way into the machine that a student reaches by `access`."""
    return Door(access.address, access.ssh_port, key, access.host_alias, access.known_hosts)


def ask(access: Access, key: Path, verb: str, body: bytes | None, deadline: float) -> bytes:
    """What the machine's caretaker answers to one verb; `deadline` in seconds.

    Raises UnreachableError, TakenError, NotFoundError (the machine is nobody's), InvalidInputError, CommandError.
    """
    return _ask(door_to(access, key), verb, body, deadline)


def claim(door: Door, claim: Claim) -> None:
    """Make the machine the student's. Again for the same student, it is what the new claim says.

    Raises TakenError if it is another student's. Killed anywhere, asking again completes it.
    """
    _ask(door, "claim", _json(asdict(claim)), TALK)


def set_password(door: Door, password_hash: str) -> None:
    """Give the machine's student another password. Who had signed in with the old one has to sign in anew."""
    _ask(door, "password", _json({"password_hash": password_hash}), TALK)


def activity(door: Door) -> Activity:
    """What the machine does now."""
    return _read(door, Activity, _ask(door, "activity", None, TALK))


def backup(door: Door, stream: BinaryIO, deadline: float = TRANSFER) -> None:
    """Write the course's folders into `stream`, a real file: a gzipped tar that ends with its manifest."""
    _ask(door, "backup", None, deadline, stream)


def restore(door: Door, stream: BinaryIO, deadline: float = TRANSFER) -> Restored:
    """Put what `backup` wrote back into place; the machine proves it by the manifest before it changes anything."""
    return _read(door, Restored, _ask(door, "restore", stream, deadline))


def diagnose(door: Door) -> Facts:
    """What the machine says of itself."""
    return _read(door, Facts, _ask(door, "diagnose", None, TALK))


def reset(door: Door) -> None:
    """The student's home as at first boot, but for the course's folders."""
    _ask(door, "reset", None, TALK)


def _read(door: Door, kind: type[T], said: bytes) -> T:
    try:
        return TypeAdapter(kind).validate_json(said)
    except ValidationError as exc:
        raise CommandError(f"The machine at {door.address} answered what is no {kind.__name__}: {exc}") from exc


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _ask(
    door: Door, verb: str, body: bytes | BinaryIO | None, deadline: float, answer: BinaryIO | None = None
) -> bytes:
    access = Access(door.address, USER, None, door.key, door.host_alias, door.known_hosts, ssh_port=door.port)
    done = exchange(ssh_command(access, verb, options=_OPTIONS), deadline=deadline, stdin=body, stdout=answer)
    if done.returncode:
        raise _error(door, verb, done.returncode, done.stderr.decode(errors="replace").strip())
    return done.stdout or b""


def _error(door: Door, verb: str, code: int, said: str) -> ProvisionError:
    """The program's exit code as an error of ours, with its own words."""
    if code == _UNREACHED:
        return _unreached(door, said)
    words = said or f"exit code {code}, and no word why"
    if code == _UNKNOWN:
        return CommandError(f"The machine at {door.address} cannot do {verb} ({words}).", hint=_OLD)
    return _KINDS.get(code, CommandError)(f"The machine at {door.address} did not do {verb}: {words}")


def _unreached(door: Door, said: str) -> UnreachableError:
    """Why ssh could not even ask, told apart by its own words."""
    where = f"the caretaker of the machine at {door.address}, port {door.port}"
    if "Permission denied" in said:
        return UnreachableError(f"{door.key} does not open {where}.", hint=_OTHER_KEY)
    if "verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
        return UnreachableError(f"{where} is not the one that {door.known_hosts} remembers.", hint=_REBUILT)
    return UnreachableError(f"No way to {where}: {said or 'the connection ended'}", hint=_CLOSED)
