"""One command at a time changes a cohort, whoever runs it and where: others are told who is at it, since when."""

import getpass
import os
import random
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from re import search
from typing import TYPE_CHECKING

from provision.clock import Clock
from provision.cloud.locks import Lock, drop_lock, drop_network, find_lock, renew_lock, take_lock
from provision.core.retries import pause
from provision.errors import BusyError, CapacityError, CloudError, LockedError, NotFoundError, UnsureError
from provision.progress import Progress

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

RENEWAL = 120.0  # seconds between two signs of life
TRIES = 6
LEASE = 600.0  # seconds without one, after which a lock is anybody's: longer than a cloud is out


@dataclass
class Held:
    """A lock that we hold, until `lost`."""

    cohort: str
    port: str
    lost: bool = False
    end: SimpleQueue[bool] = field(default_factory=SimpleQueue)

    def check(self) -> None:
        """Raise CloudError when the lock went to somebody else: what he does and what we do must not mix."""
        if self.lost:
            raise CloudError(
                f"The lock on {self.cohort} was lost: for {LEASE / 60:.0f} minutes this command gave no sign of life, "
                "and another took over. Nothing more is changed.",
                hint="See what the other does: provision cohort status. Then run the same command again.",
            )


@contextmanager
def hold(
    connection: "Connection", cohort: str, verb: str, clock: Clock, progress: Progress
) -> Iterator[Callable[[], None]]:
    """Hold the cohort's lock; yields a check that raises once it is lost. Raises LockedError if another holds it."""
    holder = _ourselves(verb, clock.now())
    try:
        held = Held(cohort, _take(connection, cohort, holder, clock))
    except CapacityError as exc:
        progress.say(f"{cohort} is not locked: make sure that nobody else works on it. {exc.message}")
        yield lambda: None
        return
    clock.start(lambda: _renew(connection, held, holder, clock))
    try:
        yield held.check
    finally:
        held.end.put(True)
        with suppress(CloudError, NotFoundError):  # it ends by itself
            drop_lock(connection, held.port)
            drop_network(connection)


def _take(connection: "Connection", cohort: str, holder: str, clock: Clock) -> str:
    """The port of the lock, taken over from one who is dead; or LockedError."""
    for tries in range(1, TRIES + 1):
        try:
            if port := take_lock(connection, cohort, holder, clock):
                return port
            trouble = None
        except (BusyError, UnsureError) as exc:
            trouble = exc
        lock = find_lock(connection, cohort, clock)
        if lock and lock.holder == holder:
            return lock.port  # the answer was lost on its way
        if lock and not _is_over(lock):
            raise _is_held(cohort, lock)
        if lock:
            drop_lock(connection, lock.port)  # this very port: who took over meanwhile has another
        if trouble:
            clock.sleep(pause(tries, getattr(trouble, "wait", None), random.random()))  # noqa: S311  # hides nothing
            if tries == TRIES:
                raise trouble
    raise LockedError(
        f"The lock on {cohort} goes from hand to hand just now. Nothing was changed.", hint="Run this again later."
    )


def _renew(connection: "Connection", held: Held, holder: str, clock: Clock) -> None:
    sign = 0
    while clock.take(held.end, RENEWAL) is None:
        sign += 1
        try:
            renew_lock(connection, held.port, f"{holder}, sign of life {sign}")
        except NotFoundError:
            held.lost = True
            return
        except CloudError:
            continue  # the lease is long enough for some


def _ourselves(verb: str, now: float) -> str:
    since = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    run = secrets.token_hex(4)  # of two in one process each is another's
    return f"{verb} by {user}@{socket.gethostname()} since {since} (process {_process(os.getpid())}, run {run})"[-250:]


def _process(number: int) -> str:
    """A process, told from any other by when it began (proc_pid_stat(5)), the boot, and the container that it is in."""
    try:
        began = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        began = "gone"
    return f"{number}-{began}-{_place()}"


def _place() -> str:
    """This boot of this computer, or of this container: where a process's number says something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return sha256(f"{boot} {Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:8]
    except OSError:
        return "unknown"


def _is_over(lock: Lock) -> bool:
    """Whether its holder gave no sign of life for the lease, or is a process of this computer that is no more."""
    known = search(r"\(process (\d+)-\w+-(\w+), run \w+\)", lock.holder)
    dead = known is not None and known[2] == _place() != "unknown" and _process(int(known[1])) not in lock.holder
    return dead or lock.silent > LEASE


def _is_held(cohort: str, lock: Lock) -> LockedError:
    return LockedError(
        f"Another command works on {lock.name.removeprefix('provision lock ')}: {lock.holder}; last heard of "
        f"{lock.silent:.0f} s ago. Two at once would undo each other's work. Nothing was changed.",
        hint=f"Wait until it is done. If it was killed, its lock runs out {LEASE / 60:.0f} minutes after it was last "
        "heard of: run the same command again then.",
    )
