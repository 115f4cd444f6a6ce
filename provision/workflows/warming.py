"""The story of a pool: machines are made ahead of need, proved while they are nobody's, and given back when idle."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from provision.cloud.claims import drop_claim, drop_place, ensure_place, observe_claims, take_claim
from provision.cloud.stacks import (
    observe_pool,
    observe_stacks,
    show_stack,
    tag_stack,
)
from provision.core.naming import POOL_TAG, WARM_TAG
from provision.core.plan import Stack
from provision.core.pool import Claim, Discard, Make, Prove, Terms, is_idle, plan_pool, wanted
from provision.errors import (
    AuthenticationError,
    CloudError,
    PreflightError,
    ProvisionError,
)
from provision.guests.probes import prove_ready
from provision.progress import Phase, Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.handouts import Handout, ensure_caretaker, prepare_folder
from provision.workflows.locking import hold
from provision.workflows.machine import access_by
from provision.workflows.pool import Pool, give_up
from provision.workflows.settling import settle_claims
from provision.workflows.stocking import Keeper, make_machines

POLL, LONG_POLL = 5.0, 30.0  # seconds between two looks: while something is to come, and when all waits
TRY = 20.0  # seconds that a machine may take for one try to prove itself
PROVERS = 8
PATIENCE = 600.0  # seconds for which the cloud may fail to answer


@dataclass(frozen=True)
class Look:
    """A pool as it is: those that are nobody's, those that are students', the claims under way, and how many it wants.

    `idle`: nobody came for long.
    """

    free: tuple[Stack, ...]
    taken: tuple[Stack, ...]
    claims: tuple[Claim, ...]
    want: int
    idle: bool

    @property
    def warm(self) -> tuple[Stack, ...]:
        """Those that can be claimed now."""
        held = {claim.stack for claim in self.claims}
        return tuple(stack for stack in self.free if stack.warm and stack.complete and stack.id not in held)


_Proof = tuple[Stack, str]  # a machine, and why it is not proved; nothing if it is


@dataclass
class _Run:
    """Who proves machines, when the cloud last answered, since when each waits for its proof, what trouble stays."""

    crew: Crew[_Proof]
    results: Results[_Proof]
    answered: float
    since: dict[str, float] = field(default_factory=dict)
    trouble: ProvisionError | None = None


def look(pool: Pool, terms: Terms) -> Look:
    """See how a pool stands, by three list calls."""
    cohort, now = pool.order.cohort, datetime.fromtimestamp(pool.clock.now())
    claims = observe_claims(pool.connection, cohort, pool.clock)
    free = observe_pool(pool.connection, pool.tag)
    taken = observe_stacks(pool.connection, pool.tag, POOL_TAG)
    came = [_local(stack.updated) for stack in taken if stack.updated]  # the claim was the last to change its stack
    return Look(free, taken, claims, wanted(terms, now, came), is_idle(terms, now, came))


def _local(time: str) -> datetime:
    return datetime.fromisoformat(time if time.endswith("Z") else f"{time}Z").astimezone().replace(tzinfo=None)


def start(keeper: Keeper, progress: Progress, *, keep: bool) -> Look:
    """Have as many machines wait as are wanted, each proved; with `keep` for ever. Run again, it goes on.

    Raises CapacityError where there is no room for all, and CloudError when some do not prove themselves in time.
    """
    pool = keeper.pool
    if pool.order.shape.ssh_cidr is None:
        raise PreflightError(
            "Pooled machines are made their students' by SSH, and cohort.toml lets nobody use it.",
            hint='Write under [access] who may, this computer among them: ssh = "192.0.2.0/24"',
        )
    prepare_folder(pool.folder)
    ensure_caretaker(pool.folder)
    with (
        hold(pool.connection, f"{pool.order.cohort} pool", "pool start", pool.clock, progress) as check,
        progress.phase("Keeping the pool" if keep else "Filling the pool") as phase,
    ):
        ensure_place(pool.connection, pool.clock)
        return _keep(keeper, check, phase, progress, keep=keep)


def _keep(keeper: Keeper, check: Callable[[], None], phase: Phase, progress: Progress, *, keep: bool) -> Look:
    clock, results = keeper.pool.clock, Results[_Proof]()
    run = _Run(Crew(PROVERS, results, clock), results, clock.now())
    while True:
        check()
        try:
            seen = _round(keeper, run, progress)
            run.answered = clock.now()
        except AuthenticationError:
            raise
        except CloudError as exc:
            if not keep and clock.now() - run.answered > PATIENCE:
                raise
            phase.note(f"the cloud is in trouble: {exc.message}")
        else:
            phase.note(f"{len(seen.warm)} of {seen.want} wait")
            if len(seen.warm) >= seen.want and not keep:
                return seen
            if run.trouble and not keep:
                raise run.trouble
        clock.sleep(POLL if run.since or run.trouble or not keep else LONG_POLL)


def _round(keeper: Keeper, run: _Run, progress: Progress) -> Look:
    """Look, and do what is to be done now. What waits for the cloud is seen by the next."""
    pool = keeper.pool
    settle_claims(pool, lambda _stage: None)
    seen = look(pool, keeper.terms)
    steps = plan_pool(seen.free, seen.taken, {claim.stack for claim in seen.claims}, seen.want, idle=seen.idle)
    proving = [step.stack for step in steps if isinstance(step, Prove)]
    run.since = {stack.id: run.since.get(stack.id, pool.clock.now()) for stack in proving}
    for step in steps:
        if isinstance(step, Discard):
            progress.say(f"{step.stack.name} is deleted: {step.why}.")
            discard(pool, step.stack)
    _prove(keeper, run, proving, progress)
    run.trouble = make_machines(keeper, [step.number for step in steps if isinstance(step, Make)], progress)
    return replace(seen, free=observe_pool(pool.connection, pool.tag)) if proving else seen


def discard(pool: Pool, stack: Stack) -> bool:
    """Delete a machine that waits, unless a student was faster: whoever claims it excludes the other."""
    place = ensure_place(pool.connection, pool.clock)
    claim = take_claim(pool.connection, place, pool.order.cohort, stack, "", pool.clock)
    if claim is None:
        return False
    shown = show_stack(pool.connection, stack.name, stack.id)
    if shown is None or shown.student is not None:
        drop_claim(pool.connection, claim)
        return False
    give_up(pool, claim, stack)
    return True


def _prove(keeper: Keeper, run: _Run, stacks: Iterable[Stack], progress: Progress) -> None:
    """Try each that is complete; those that prove themselves can be claimed from now on."""
    pool, stacks = keeper.pool, list(stacks)
    for stack in stacks:
        run.crew.begin(partial(_proved, keeper, stack))
    for _ in stacks:
        if (result := next_result(run.results, clock=pool.clock)) is None:
            continue
        stack, why = result
        if why and pool.clock.now() - run.since[stack.id] > keeper.deadline:
            progress.say(f"{stack.name} is deleted: it did not prove itself in {keeper.deadline:.0f} s: {why}")
            discard(pool, stack)


def _proved(keeper: Keeper, stack: Stack) -> _Proof:
    """Why a machine is not proved, or nothing, and its stack says so."""
    pool = keeper.pool
    shown = show_stack(pool.connection, stack.name, stack.id)
    if shown is None or shown.student is not None:
        return stack, ""
    course = pool.order.course
    nobody = Handout("", "", "", course.user.name, "", "", course.scheme)
    try:
        access = access_by(shown.outputs, stack, nobody, pool.folder)
        prove_ready(access, deadline=TRY, on_stage=lambda _stage: None, stages=keeper.waiting)
        _warm(pool, stack)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        return stack, exc.message
    return stack, ""


def _warm(pool: Pool, stack: Stack) -> None:
    """Say that it can be claimed, behind a claim of nobody's: who slept meanwhile takes it from no student."""
    place = ensure_place(pool.connection, pool.clock)
    if claim := take_claim(pool.connection, place, pool.order.cohort, stack, "", pool.clock):
        shown = show_stack(pool.connection, stack.name, stack.id)
        if shown and shown.student is None and shown.stack.complete and not shown.stack.warm:
            tag_stack(pool.connection, stack, [*shown.tags, WARM_TAG])
        drop_claim(pool.connection, claim)


def drain(pool: Pool, progress: Progress, *, deadline: float) -> int:
    """Delete every machine that is nobody's; how many they were. Raises CloudError if some are not deleted."""
    with (
        hold(pool.connection, f"{pool.order.cohort} pool", "pool drain", pool.clock, progress) as check,
        progress.phase("Draining the pool") as phase,
    ):
        end, gone = pool.clock.now() + deadline, set[str]()
        while free := observe_pool(pool.connection, pool.tag):
            check()
            settle_claims(pool, lambda _stage: None)
            gone |= {stack.id for stack in free if not stack.status.startswith("DELETE_IN") and discard(pool, stack)}
            phase.note(f"{len(free)} to go")
            if pool.clock.now() > end:
                names = ", ".join(stack.name for stack in free)
                raise CloudError(f"These machines are not deleted: {names}.", hint="Run the same command again.")
            pool.clock.sleep(POLL)
        if not observe_claims(pool.connection, pool.order.cohort, pool.clock):
            drop_place(pool.connection)
    return len(gone)
