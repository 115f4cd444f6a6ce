"""The story of a cohort that is healed: observe, plan what is wrong, do that alone, and prove those machines again."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.compute import act_on_server, is_server
from provision.cloud.network import close_rule, open_rule
from provision.cloud.stacks import delete_stack, stack_outputs, stack_resources, update_stack
from provision.core.drift import Repair, Rule, plan_repair
from provision.core.naming import STUDENT_ID
from provision.core.outcome import Failed, Outcome
from provision.core.plan import Stack, plan_cohort
from provision.errors import AuthenticationError, CloudError, ProvisionError
from provision.guests.probes import Stage
from provision.progress import Progress
from provision.workflows.cohort import Launching, launch_held, plan
from provision.workflows.labels import observe_cohort
from provision.workflows.locking import hold
from provision.workflows.machine import failed_stack, reach_of, stuck_stack
from provision.workflows.observing import observe_all
from provision.workflows.orders import Order
from provision.workflows.power import prove_all
from provision.workflows.servers import Settling, settle

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

POLL = 3.0  # seconds between two list calls


@dataclass(frozen=True)
class With:
    """Where handouts are, how long anything may take, and what is proved at the end: without `stages`, all.

    `replace`: machines that cannot be saved are made anew, and what is on them is lost.
    """

    folder: Path
    deadline: float
    replace: bool = False
    stages: tuple[Stage, ...] | None = None
    clock: Clock = REAL


@dataclass
class _Run:
    """Who is to be proved at the end, whose stack is to be made anew, and what could not be healed.

    `check` raises once the cohort's lock is lost.
    """

    check: Callable[[], None]
    heal: dict[str, Stack] = field(default_factory=dict)
    anew: dict[str, Stack] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)

    def fail(self, repair: Repair, exc: ProvisionError) -> None:
        """Note that a repair did not succeed."""
        self.failed[repair.student] = Failed(repair.student, repair.cure, exc.message, exc.hint or "")


def find_repairs(connection: "Connection", order: Order, now: datetime) -> tuple[Repair, ...]:
    """What is wrong with a cohort, by six list calls. Raises NotFoundError if there is none."""
    stacks, shared, parts = observe_all(connection, order)
    actions = plan_cohort([student.id for student in order.students], stacks)
    return plan_repair(actions, shared, parts, order.shape, now)


def repair(
    connection: "Connection", order: Order, repairs: Collection[Repair], terms: With, progress: Progress
) -> tuple[Outcome, ...]:
    """Do what `repairs` say, and prove those machines ready; an outcome for each student of whom they speak.

    What is no longer as they say is left alone: somebody may have been at work since they were found.
    """
    if not repairs:
        return ()
    with hold(connection, order.cohort, "repair", terms.clock, progress) as check:
        with progress.phase("Looking again"):
            found = find_repairs(connection, order, datetime.fromtimestamp(terms.clock.now(), UTC))
        known = {_what(each) for each in repairs}
        return _repair(connection, order, [each for each in found if _what(each) in known], terms, progress, check)


def _what(repair: Repair) -> tuple[str, str, Rule | None]:
    return repair.stack.id, repair.cure, repair.rule


def _repair(
    connection: "Connection",
    order: Order,
    repairs: Collection[Repair],
    terms: With,
    progress: Progress,
    check: Callable[[], None],
) -> tuple[Outcome, ...]:
    run = _Run(check)
    by_cure: dict[str, list[Repair]] = {}
    for each in repairs:
        by_cure.setdefault(each.cure, []).append(each)
    with progress.phase("Healing what stands"):
        _mend_rules(connection, run, (*by_cure.get("open", ()), *by_cure.get("close", ())))
        _attempt(run, by_cure.get("remove", ()), lambda each: delete_stack(connection, each.stack))
    _start(connection, order, run, (*by_cure.get("start", ()), *by_cure.get("reboot", ())), terms, progress)
    _update(connection, order, run, (*by_cure.get("address", ()), *by_cure.get("update", ())), terms, progress)
    for each in by_cure.get("replace", ()):
        _choose(connection, run, each, may_lose=terms.replace)
    outcomes: dict[str, Outcome] = {**_make_anew(connection, order, run, terms, progress)}
    heal = [stack for name, stack in run.heal.items() if name not in run.failed and STUDENT_ID.fullmatch(name)]
    reach = reach_of(order, terms.folder, terms.deadline, terms.stages)
    outcomes |= prove_all(connection, order, heal, reach, progress, terms.clock) if heal else {}
    outcomes |= run.failed
    return tuple(outcomes[student] for student in sorted(outcomes))


def _attempt(run: _Run, repairs: Iterable[Repair], do: Callable[[Repair], None]) -> list[Repair]:
    """Do it for each; those that failed are noted, the others returned."""
    done = []
    for each in repairs:
        try:
            do(each)
        except AuthenticationError:
            raise
        except ProvisionError as exc:
            run.fail(each, exc)
        else:
            done.append(each)
    return done


def _mend_rules(connection: "Connection", run: _Run, repairs: Iterable[Repair]) -> None:
    def mend(each: Repair) -> None:
        if each.group and each.rule:
            (open_rule if each.cure == "open" else close_rule)(connection, each.group, each.rule)

    mended = _attempt(run, repairs, mend)
    run.heal |= {each.student: each.stack for each in mended if each.server and not each.server.asleep}


def _start(
    connection: "Connection", order: Order, run: _Run, repairs: Collection[Repair], terms: With, progress: Progress
) -> None:
    """Start what merely stopped, with all that is on it, and reboot what is in ERROR."""
    if not repairs:
        return

    def reboot(each: Repair) -> None:
        if each.server and each.cure == "reboot":
            act_on_server(connection, each.server, "reboot")

    begun = {each.server.id: each for each in _attempt(run, repairs, reboot) if each.server}
    with progress.phase("Starting machines") as phase:
        settling = Settling(connection, order.cohort, terms.deadline, terms.clock, run.check)
        settled = settle(settling, lambda server: "running" if server.id in begun else None, phase.update)
    for each in repairs:
        id_ = each.server.id if each.server else ""
        refusal = settled[id_][1] if id_ in settled else None
        if id_ in settled and refusal is None:
            run.heal[each.student] = each.stack
        elif terms.replace and STUDENT_ID.fullmatch(each.student):
            run.anew[each.student] = each.stack
            run.failed.pop(each.student, None)
        elif each.student not in run.failed:
            run.failed[each.student] = _lost(each, refusal.reason if refusal else "its server is gone")


def _lost(each: Repair, reason: str) -> Failed:
    hint = "What is on it may be lost. To make it anew: provision cohort repair COHORT --replace"
    if not STUDENT_ID.fullmatch(each.student):
        hint = f"Nothing is kept on a gateway: openstack server rebuild {each.server.name if each.server else ''}"
    return Failed(each.student, "server", reason, hint)


def _update(
    connection: "Connection", order: Order, run: _Run, repairs: Collection[Repair], terms: With, progress: Progress
) -> None:
    """Have Heat put back what a stack lacks; never while that would make its server anew."""
    if not repairs:
        return

    def update(each: Repair) -> None:
        states = stack_resources(connection, each.stack)
        wrong = [name for name in ("server", "port") if not states.get(name, "").endswith("_COMPLETE")]
        if wrong:
            raise CloudError(
                f"Heat would make its {wrong[0]} anew ({states.get(wrong[0], 'gone')}), and what is on it would go.",
                hint=f"If it works: openstack stack resource mark unhealthy --reset {each.stack.name} {wrong[0]}",
            )
        update_stack(connection, each.stack, "floating_ip" if each.cure == "address" else "")

    begun = {each.stack.id: each for each in _attempt(run, [e for e in repairs if e.student not in run.failed], update)}
    with progress.phase("Waiting for their stacks") as phase:
        end = terms.clock.now() + terms.deadline
        while begun:
            run.check()
            phase.note(f"{len(begun)} to go")
            terms.clock.sleep(POLL)
            shown = {stack.id: stack for stack in observe_cohort(connection, order.cohort, order.labels)}
            late = terms.clock.now() > end
            begun = {id_: each for id_, each in begun.items() if not _updated(connection, run, each, shown, late=late)}


def _updated(connection: "Connection", run: _Run, each: Repair, shown: Mapping[str, Stack], *, late: bool) -> bool:
    """Whether a stack's update is over, and how it ended."""
    stack = shown.get(each.stack.id)
    if stack is None:
        run.failed[each.student] = Failed(each.student, each.cure, "its stack is gone", "Run: provision cohort launch")
    elif stack.updated != each.stack.updated and stack.status.endswith("_FAILED"):
        run.failed[each.student] = failed_stack(connection, stack)
    elif stack.updated != each.stack.updated and stack.complete:
        run.heal[each.student] = stack
    elif late:
        run.failed[each.student] = stuck_stack(connection, stack, f"its stack is still {stack.status}")
    else:
        return False
    return True


def _choose(connection: "Connection", run: _Run, each: Repair, *, may_lose: bool) -> None:
    """Whether a stack is made anew. What a list does not show is asked for by its id before it is believed gone."""
    if not each.loses or may_lose:
        run.anew[each.student] = each.stack
        return
    try:
        server = stack_outputs(connection, each.stack).get("server_id", "")
        there = not server or is_server(connection, server)
    except ProvisionError as exc:
        run.fail(each, exc)
        return
    if there:
        run.failed[each.student] = _lost(each, f"{each.why}, though Nova may know it: renamed, or changed by hand")
    else:
        run.anew[each.student] = each.stack  # nothing is left that could be lost


def _make_anew(
    connection: "Connection", order: Order, run: _Run, terms: With, progress: Progress
) -> dict[str, Outcome]:
    """Delete these stacks and launch their students again, with the passwords that they have."""
    if not run.anew:
        return {}
    some = replace(order, students=tuple(student for student in order.students if student.id in run.anew))
    plan(connection, some)  # what cannot be made again is not deleted
    run.check()
    doomed = [Repair(name, "replace", "", stack) for name, stack in run.anew.items()]
    asked = _attempt(run, doomed, lambda each: delete_stack(connection, each.stack))
    _await_deletion(connection, order, {each.stack.id for each in asked}, terms)
    deleted = {each.student for each in asked}
    some = replace(some, students=tuple(student for student in some.students if student.id in deleted))
    reach = reach_of(some, terms.folder, terms.deadline, terms.stages)
    outcomes = launch_held(connection, some, Launching(reach, progress, terms.clock, run.check, some=True))
    return {outcome.student: outcome for outcome in outcomes}


def _await_deletion(connection: "Connection", order: Order, stacks: Collection[str], terms: With) -> None:
    """Until Heat shows that it is at it: a launch that came sooner would take the old stacks for good ones."""
    end = terms.clock.now() + terms.deadline
    while terms.clock.now() < end:
        shown = observe_cohort(connection, order.cohort, order.labels)
        if all(stack.status.startswith("DELETE_") for stack in shown if stack.id in stacks):
            return
        terms.clock.sleep(POLL)
