"""The stories that a machine's caretaker is asked for: another password, the student's files here, and back there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.cloud.stacks import stack_outputs
from provision.core.outcome import Failed
from provision.core.plan import Stack
from provision.core.shape import gateway_ports
from provision.errors import CloudError, NotFoundError, ProvisionError
from provision.guests import caretaker
from provision.guests.archives import read_archive
from provision.guests.caretaker import Door, Restored
from provision.guests.credentials import jupyter_hash, new_password
from provision.progress import Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.generations import Shelf, keep, newest, prune, unfinished
from provision.workflows.handouts import caretaker_key, handout_file, read_handouts, save_password
from provision.workflows.letters import write_letters
from provision.workflows.orders import Order

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

STREAMS = 8  # machines that send their files at once: a gigabit line is full with fewer


@dataclass(frozen=True)
class Saved:
    """A student's backup: its file, how many files it holds, and whether any differed from the one before."""

    student: str
    file: Path
    files: int
    new: bool
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """How backups are kept: the folder of all, generations a student, and the age at which one is made anew."""

    to: Path
    keep: int
    max_age: timedelta


def door_of(connection: "Connection", stack: Stack, folder: Path) -> Door:
    """The caretaker's way into the machine of a stack; `folder` is that of the cohort's handouts, which has the key."""
    key = caretaker_key(folder)
    if not key.is_file():
        raise NotFoundError(
            f"There is no key of the caretaker of {stack.student}'s machine: no file {key}.",
            hint="Name the folder of the launch that made it (--handout). A machine that was launched before there was "
            "such a key has no caretaker: delete it and launch again.",
        )
    outputs = stack_outputs(connection, stack)
    if not (address := outputs.get("address")):
        raise CloudError(f"Stack {stack.name} is {stack.status} and has no address.")
    port = gateway_ports(outputs["inner_address"])[1] if outputs.get("gateway") else 22
    return Door(address, port, key.absolute(), stack.id, (folder / "known_hosts").absolute())


def reset_password(door: Door, folder: Path, order: Order, student: str) -> str:
    """A new password for the machine's student, which goes into handout and letter once the machine has it.

    Killed between the two, it opens nothing that is known to anybody: done again, it is right again.
    """
    handouts = read_handouts(folder)
    if student not in handouts:
        raise NotFoundError(
            f"Student {student!r} is not in {handout_file(folder)}.", hint="Name another with --handout."
        )
    password = new_password()
    caretaker.set_password(door, jupyter_hash(password))
    save_password(folder, student, password)
    write_letters(folder, order, student)
    return password


def back_up(
    connection: "Connection", stacks: Iterable[Stack], folder: Path, wanted: Wanted, progress: Progress
) -> tuple[Saved | Failed, ...]:
    """The files of every machine of `stacks`, each proved here before it takes a place; by student."""
    stacks = list(stacks)
    results: Results[Saved | Failed] = SimpleQueue()
    crew = Crew(STREAMS, results)
    for stack in stacks:
        crew.begin(partial(_back_up, connection, stack, folder, wanted))
    done: list[Saved | Failed] = []
    with progress.phase("Backing up") as phase:
        while len(done) < len(stacks):
            phase.update(len(done), len(stacks), "machines")
            if outcome := next_result(results):
                done.append(outcome)
    return tuple(sorted(done, key=lambda each: each.student))


def _back_up(connection: "Connection", stack: Stack, folder: Path, wanted: Wanted) -> Saved | Failed:
    shelf = Shelf(wanted.to, stack.student)
    try:
        before = newest(shelf)
        if before and before.made > datetime.now(UTC) - wanted.max_age:
            return Saved(stack.student, before.file, len(read_archive(before.file).files), new=False)
        return save(door_of(connection, stack, folder), shelf, wanted.keep)
    except ProvisionError as exc:
        return Failed(stack.student, "backup", exc.message, exc.hint or "")
    except OSError as exc:  # a full disk here, a folder that is not ours
        return Failed(
            stack.student, "backup", f"{wanted.to}: {exc.strerror}", "Make room, or name another: --to FOLDER."
        )


def save(door: Door, shelf: Shelf, generations: int) -> Saved:
    """One machine's files onto its student's shelf, of which the newest `generations` stay.

    What equals the generation before takes no place: a machine that lost everything, backed up daily, must not push out
    what it once held.
    """
    with unfinished(shelf) as part:
        with part.open("wb") as stream:
            caretaker.backup(door, stream)
        archive = read_archive(part)
        before = newest(shelf)
        if before and read_archive(before.file) == archive:
            return Saved(shelf.student, before.file, len(archive.files), new=False, skipped=archive.skipped)
        file = keep(shelf, part)
    prune(shelf, generations)
    return Saved(shelf.student, file, len(archive.files), new=True, skipped=archive.skipped)


def restore(door: Door, file: Path) -> Restored:
    """A backup into its place on a machine; proved here, and there again, before anything is changed."""
    read_archive(file)
    with file.open("rb") as stream:
        return caretaker.restore(door, stream)
