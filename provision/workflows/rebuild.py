"""The story of a cohort that moves to another image, wave by wave: students keep work, password and address."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from provision.clock import REAL, Clock
from provision.cloud.compute import observe_servers
from provision.cloud.stacks import change_stack
from provision.core.flavors import Flavor
from provision.core.images import Image, misfits
from provision.core.naming import cohort_tag
from provision.core.outcome import Failed, Outcome, Ready
from provision.core.plan import Stack, plan_cohort
from provision.core.servers import Server
from provision.core.waves import Move, Stay, halts, plan_moves, waves
from provision.errors import AuthenticationError, CloudError, InvalidInputError, PreflightError, ProvisionError
from provision.guests.access import Access
from provision.guests.probes import Stage
from provision.guests.ssh import forget_host
from provision.progress import Progress
from provision.workflows.backups import backup_file, give_back, keep_backup, kept_backups
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.handouts import ensure_handouts
from provision.workflows.labels import observe_cohort
from provision.workflows.locking import hold
from provision.workflows.machine import Reach, access_of, failed_stack, reach_of, stuck_stack
from provision.workflows.observing import observe_standing
from provision.workflows.orders import Order
from provision.workflows.power import prove_all
from provision.workflows.preflight import Wish, wished_image
from provision.workflows.servers import whose

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

CREW = 8  # machines whose work is fetched or sent at once
POLL = 5.0  # seconds between two list calls
PATIENCE = 600.0  # seconds for which the list call may fail


@dataclass(frozen=True)
class Carry:
    """How a machine's work is fetched into a file, and sent from one. Both raise ProvisionError."""

    backup: Callable[[Access, BinaryIO], object]
    restore: Callable[[Access, BinaryIO], object]


@dataclass(frozen=True)
class Terms:
    """How a rebuild goes: `size` machines at a time, halted when more than `most` percent of a wave fail.

    `deadline` in seconds is for a wave's stacks, and then for each machine's proof; without `stages`, of everything.
    """

    folder: Path
    carry: Carry
    size: int = 20
    most: float = 10.0
    deadline: float = 1800.0
    stages: tuple[Stage, ...] | None = None
    clock: Clock = REAL


@dataclass(frozen=True)
class Moves:
    """The image, and what is to be done for whom."""

    image: Image
    moves: tuple[Move | Stay, ...]


@dataclass(frozen=True)
class _Job:
    connection: "Connection"
    order: Order
    image: Image
    terms: Terms
    progress: Progress
    reach: Reach
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def find_moves(connection: "Connection", order: Order, image: str | None, folder: Path) -> Moves:
    """Who is to be moved to `image` (an id, a name or a build; otherwise the current one), by three calls or so.

    Raises PreflightError, with all of them, if machines are too small for it.
    """
    _check_tenancy(order)
    wanted = wished_image(connection, Wish(order.course, order.presentation, image))
    stacks = observe_standing(connection, order)
    found = observe_servers(connection, cohort_tag(order.cohort))
    owners = whose(found, stacks, order.cohort)
    servers = {owners[server.id]: server for server in found if server.id in owners}
    actions = plan_cohort([student.id for student in order.students], stacks)
    moves = plan_moves(actions, servers, wanted.id, kept_backups(folder))
    _check_sizes(wanted, [servers[each.student] for each in moves if isinstance(each, Move)])
    return Moves(wanted, moves)


def _check_tenancy(order: Order) -> None:
    if order.tenancy is not None:
        raise InvalidInputError(
            "Machines in projects of their students cannot be rebuilt yet.",
            hint='Rebuild works with tenancy = "one project". Until then: delete the cohort and launch it anew.',
        )


def _check_sizes(image: Image, servers: Iterable[Server]) -> None:
    flavors = {Flavor(each.memory, each.vcpus, each.disk, each.flavor, "") for each in servers}
    small = [f"  {each.name}: {'; '.join(words)}" for each in sorted(flavors) if (words := misfits(image, each))]
    if small:
        raise PreflightError(
            "\n".join([f"The machines are too small for {image.name} ({image.id}). Nothing was changed.", *small]),
            hint="Publish a build that is small enough, or delete the cohort and launch it with a larger flavor.",
        )


def rebuild(
    connection: "Connection", order: Order, image: str | None, terms: Terms, progress: Progress
) -> tuple[Outcome, ...]:
    """Move every machine to `image`; how it ended for each that is moved or should be. Run again, it goes on."""
    _check_tenancy(order)  # before the lock is taken
    with hold(connection, order.cohort, "rebuild", terms.clock, progress) as check:
        found = find_moves(connection, order, image, terms.folder)
        job = _Job(connection, order, found.image, terms, progress, reach_of(order, terms.folder, terms.deadline))
        for each in found.moves:
            if isinstance(each, Stay) and each.wrong:
                job.outcomes[each.student] = Failed(each.student, "rebuild", each.why, each.hint)
        planned = waves([each for each in found.moves if isinstance(each, Move)], terms.size)
        for number, wave in enumerate(planned):
            check()
            _move(job, wave, f"Wave {number + 1} of {len(planned)}", check)
            failed = sum(isinstance(job.outcomes[each.student], Failed) for each in wave)
            if halts(failed, len(wave), terms.most):
                _halt(job, [each for later in planned[number + 1 :] for each in later], failed, len(wave))
                break
    return tuple(outcome for _, outcome in sorted(job.outcomes.items()))


def _halt(job: _Job, rest: Sequence[Move], failed: int, of: int) -> None:
    """Whoever was to come is left as it was."""
    words = f"not touched: {failed} of the {of} machines of the wave before failed, more than {job.terms.most:g} %"
    hint = "See to those first. Then run the same command again: it goes on where this one stopped."
    job.outcomes.update({each.student: Failed(each.student, "halted", words, hint) for each in rest})
    if rest:
        job.progress.say(f"Halted: {len(rest)} machines are not touched.")


def _move(job: _Job, wave: Sequence[Move], name: str, check: Callable[[], None]) -> None:
    """A wave from the first machine's backup to the last one's work given back."""
    by_student = {each.student: each for each in wave}
    job.progress.say(f"{name}: {len(wave)} machines")
    going = _each(job, f"{name}: keeping students' work", by_student, lambda who: _part(job, by_student[who]))
    check()
    stacks = _await_stacks(job, [by_student[who] for who in going], name)
    _refresh(job, stacks)
    reach = reach_of(job.order, job.terms.folder, job.terms.deadline, job.terms.stages)  # of handouts as they are now
    proved = prove_all(job.connection, job.order, stacks.values(), reach, job.progress, job.terms.clock)
    job.outcomes.update({who: _kept(job, how) if isinstance(how, Failed) else how for who, how in proved.items()})
    check()
    ready = [who for who, outcome in proved.items() if isinstance(outcome, Ready)]
    _each(job, f"{name}: giving their work back", ready, lambda who: _return(job, stacks[who]))


def _part(job: _Job, move: Move) -> Failed | None:
    """Fetch the work and at once ask for the image: what is done between the two would be lost."""
    if move.back_up:
        try:
            fetch = partial(job.terms.carry.backup, access_of(job.connection, move.stack, job.reach))
            keep_backup(job.terms.folder, move.student, job.image.id, fetch)
        except ProvisionError as exc:
            words = f"not touched, for its work cannot be kept: {exc.message}"
            return Failed(move.student, "backup", words, exc.hint or "")
    try:
        if move.update:
            change_stack(job.connection, move.stack, {"image": job.image.id})
    except ProvisionError as exc:
        return _kept(job, Failed(move.student, "image", exc.message, exc.hint or ""))
    return None


def _return(job: _Job, stack: Stack) -> Failed | None:
    try:
        send = partial(job.terms.carry.restore, access_of(job.connection, stack, job.reach))
        give_back(job.terms.folder, stack.student, job.image.id, send)
    except ProvisionError as exc:
        words = f"its student's work is not given back: {exc.message}"
        return _kept(job, Failed(stack.student, "restore", words, exc.hint or ""))
    return None


def _kept(job: _Job, failed: Failed) -> Failed:
    """With the word that nothing is lost."""
    place = backup_file(job.terms.folder, failed.student, job.image.id)
    hint = f"Its student's work is in {place}: run the same command again."
    return Failed(failed.student, failed.stage, failed.reason, f"{failed.hint} {hint}".lstrip())


def _each(job: _Job, words: str, students: Collection[str], do: Callable[[str], Failed | None]) -> list[str]:
    """Do it for each, several at once; those for whom it worked. How it failed for the others is noted."""
    results: Results[tuple[str, Failed | None]] = SimpleQueue()
    crew = Crew(CREW, results, job.terms.clock)
    done: list[str] = []
    with job.progress.phase(words) as phase:
        for student in students:
            crew.begin(partial(lambda who: (who, do(who)), student))
        for count in range(len(students)):
            phase.update(count, len(students), "machines")
            answer = next_result(results, clock=job.terms.clock)
            if answer and answer[1]:
                job.outcomes[answer[0]] = answer[1]
            elif answer:
                done.append(answer[0])
    return done


def _await_stacks(job: _Job, moves: Sequence[Move], name: str) -> dict[str, Stack]:
    """The stacks, by student, that Heat brought to the image; of the others it is noted why not."""
    open_, done, clock = list(moves), dict[str, Stack](), job.terms.clock
    began = heard = clock.now()
    with job.progress.phase(f"{name}: waiting for their stacks") as phase:
        while open_:
            phase.update(len(moves) - len(open_), len(moves), "stacks")
            clock.sleep(POLL)
            try:
                shown = {each.id: each for each in observe_cohort(job.connection, job.order.cohort, job.order.labels)}
                heard = clock.now()
            except AuthenticationError:
                raise
            except CloudError:
                if clock.now() - heard > PATIENCE:
                    raise
                continue
            late = clock.now() - began > job.terms.deadline
            ended = {each.student: _settled(job, each, shown.get(each.stack.id), late=late) for each in open_}
            done |= {who: how for who, how in ended.items() if isinstance(how, Stack)}
            job.outcomes.update({who: how for who, how in ended.items() if isinstance(how, Failed)})
            open_ = [each for each in open_ if ended[each.student] is None]
    return done


def _settled(job: _Job, move: Move, now: Stack | None, *, late: bool) -> Stack | Failed | None:
    """A stack whose update is over, or why it will not be; None while it goes on."""
    if now is None:
        return _kept(job, Failed(move.student, "stack", "its stack is gone"))
    ours = not move.update or now.updated != move.stack.updated  # and not how it stood before Heat heard of it
    if ours and now.complete:
        return now
    if ours and now.status.endswith("_FAILED"):
        return _kept(job, failed_stack(job.connection, now))
    return _kept(job, stuck_stack(job.connection, now, f"its stack is still {now.status}")) if late else None


def _refresh(job: _Job, stacks: Mapping[str, Stack]) -> None:
    """A new disk has SSH host keys of its own, and a new build may have another account."""
    for stack in stacks.values():
        forget_host((job.terms.folder / "known_hosts").absolute(), stack.id)
    user, scheme = job.order.course.user.name, job.order.course.scheme
    other = {who for who, each in job.reach.handouts.items() if (each.user, each.scheme) != (user, scheme)}
    if changed := [each for each in job.order.students if each.id in other and each.id in stacks]:
        ensure_handouts(job.terms.folder, changed, user, scheme)
