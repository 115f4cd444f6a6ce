"""The shared stacks of a cohort: made and complete before the students' stacks that use them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.stacks import (
    StackExistsError,
    create_stack,
    delete_stack,
    observe_pool,
    observe_shared,
    stack_outputs,
)
from provision.core.naming import SHARED_TAG, cohort_tag, gateway_name, labelled_number, shared_name
from provision.core.outcome import Failed
from provision.core.places import Layout, plan_places
from provision.core.plan import Action, Create, Keep, Remove, Replace, Stack, Wait, plan_cohort
from provision.core.shape import Shape, sources
from provision.errors import AuthenticationError, CapacityError, CloudError, ProvisionError
from provision.paths import data_path
from provision.progress import Phase, Progress
from provision.workflows.labels import observe_cohort
from provision.workflows.machine import failed_stack, stuck_stack
from provision.workflows.orders import Order
from provision.workflows.preflight import Ground

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

POLL = 3.0  # seconds between two looks
PATIENCE = 360.0  # seconds for which the cloud may fail to answer
TRIES = 3  # for as many students as one stack stands for
GRACE = 10.0  # seconds after which an old state is no longer mistaken for the new request's


@dataclass(frozen=True)
class Seat:
    """Where a student's machine goes: the id of the shared stack, and its outputs, which heat/student.yaml takes."""

    stack: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Task:
    """What shared stacks are made for, and with what. `deadline` is in seconds, for each."""

    connection: "Connection"
    order: Order
    ground: Ground
    deadline: float
    clock: Clock = REAL


@dataclass
class _Run:
    """What was asked for, at which time, what answered badly and how often, and what will not come to be."""

    clock: Clock
    asked: dict[str, float] = field(default_factory=dict)
    refused: dict[str, list[Failed]] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)

    def first(self, request: str) -> bool:
        """Whether this is asked for only now: it is once a run."""
        new = request not in self.asked
        self.asked.setdefault(request, self.clock.now())
        return new

    def age(self, request: str) -> float:
        """Seconds since it was asked for."""
        return self.clock.now() - self.asked[request]


def find_places(connection: "Connection", order: Order, actions: Iterable[Action], stacks: Iterable[Stack]) -> Layout:
    """The shared stacks that `actions` need, by two calls; none where students have networks of their own."""
    if not order.shape.shared:
        return Layout((), {})
    tag = cohort_tag(order.cohort)
    return plan_places(actions, (*stacks, *observe_pool(connection, tag)), observe_shared(connection, tag))


def ensure_shared(task: Task, layout: Layout, progress: Progress) -> dict[str, Seat | Failed]:
    """A seat for each student whose stack is to be made, or why there is none. Only failures of the whole run raise."""
    if not layout.seats:
        return {}
    run = _Run(task.clock)
    with progress.phase("Looking after the shared networks") as phase:
        layout = _converge(task, run, layout, phase)
        found = {place: _seat(task, run, place) for place in dict.fromkeys(layout.seats.values())}
    return {student: _own(student, found[place]) for student, place in layout.seats.items()}


def _converge(task: Task, run: _Run, layout: Layout, phase: Phase) -> Layout:
    """Act until every shared stack that is needed is complete or has failed."""
    answered = task.clock.now()
    while True:
        for action in layout.actions:
            _act(task, run, action)
        places = dict.fromkeys(layout.seats.values())
        open_ = [place for place in places if not isinstance(place, Keep) and place.student not in run.failed]
        phase.note(f"{len(places) - len(open_)} of {len(places)}")
        if not open_:
            return layout
        task.clock.sleep(POLL)
        try:
            layout = _observe(task)
            answered = task.clock.now()
        except AuthenticationError:
            raise
        except CloudError:
            if task.clock.now() - answered > PATIENCE:
                raise


def _observe(task: Task) -> Layout:
    stacks = observe_cohort(task.connection, task.order.cohort, task.order.labels)
    actions = plan_cohort([student.id for student in task.order.students], stacks)
    return find_places(task.connection, task.order, actions, stacks)


def _seat(task: Task, run: _Run, place: Action) -> Seat | Failed:
    """What a complete shared stack gives to its students' stacks, or why it is none."""
    if not isinstance(place, Keep):
        return run.failed[place.student]
    try:
        return Seat(place.stack.id, stack_outputs(task.connection, place.stack))
    except ProvisionError as exc:
        return Failed(place.student, "outputs", exc.message, exc.hint or "")


def _own(student: str, found: Seat | Failed) -> Seat | Failed:
    if isinstance(found, Seat):
        return found
    words = f"{found.student} has no network for it: failed at {found.stage}: {found.reason}"
    return Failed(student, "shared network", words, found.hint)


def _missing(task: Task, label: str) -> Failed:
    name = shared_name(task.order.cohort, labelled_number(label))
    hint = f"If there is one without this cohort's tags that nobody needs: openstack stack delete {name}"
    return Failed(label, "stack", f"{name} does not appear within {task.deadline:.0f} s", hint)


def _act(task: Task, run: _Run, action: Action) -> None:
    label = action.student
    if label in run.failed:
        return
    match action:
        case Create():
            if run.first(f"create {label}") or label in run.refused:
                _ask(task, run, label)
            elif run.age(f"create {label}") > task.deadline:
                run.failed[label] = _missing(task, label)
        case Replace(stack=stack):
            _replace(task, run, label, stack)
        case Wait(stack=stack):
            _wait(task, run, label, stack)
        case Remove(stack=stack):
            if run.first(f"delete {stack.id}"):
                _delete(task, run, "", stack)  # one more that nobody uses: if it stays, nobody is the worse for it
        case _:
            pass


def _replace(task: Task, run: _Run, label: str, stack: Stack) -> None:
    """One that failed before this run is deleted; one that fails in it, or cannot be deleted, is given up."""
    request = f"delete {stack.id}"
    stuck = stack.status == "DELETE_FAILED" and request in run.asked and run.age(request) > GRACE
    if stuck or f"create {label}" in run.asked:
        run.failed[label] = failed_stack(task.connection, stack, task.ground.facts)
    elif stack.status != "DELETE_IN_PROGRESS" and run.first(request):
        _delete(task, run, label, stack)
    else:
        _wait(task, run, label, stack)


def _wait(task: Task, run: _Run, label: str, stack: Stack) -> None:
    if not run.first(f"wait {stack.id}") and run.age(f"wait {stack.id}") > task.deadline:
        words = f"it is still {stack.status} after {task.deadline:.0f} s"
        run.failed[label] = stuck_stack(task.connection, stack, words)


def _ask(task: Task, run: _Run, label: str) -> None:
    """Ask for a shared stack, which no list shows. A bad answer may hide that it is made, so the next list decides."""
    tries = run.refused.pop(label, [])
    try:
        _create(task, label)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        tries.append(Failed(label, "create", exc.message, exc.hint or ""))
        if len(tries) == TRIES or isinstance(exc, CapacityError):
            run.failed[label] = tries[-1]
        else:
            run.refused[label] = tries


def _delete(task: Task, run: _Run, label: str, stack: Stack) -> None:
    try:
        delete_stack(task.connection, stack)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        run.failed[label] = Failed(label, "delete", exc.message, exc.hint or "")


def _create(task: Task, label: str) -> None:
    name, tag = shared_name(task.order.cohort, labelled_number(label)), cohort_tag(task.order.cohort)
    template = data_path("heat/shared.yaml").read_text()
    try:
        create_stack(task.connection, name, template, shared_parameters(task, label), tag, SHARED_TAG)
    except StackExistsError:
        return  # an earlier request arrived; or a stranger's, which `_missing` tells


def seat_of(order: Order, seats: Mapping[str, Seat | Failed], student: str) -> Seat | Failed | None:
    """A new machine's seat; None where students have networks of their own."""
    if order.shape.shared and student not in seats:
        words = "its stack went while this run was on, and it has no place on a shared network"
        return Failed(student, "shared network", words, "Run the same command again.")
    return seats.get(student)


def network_parameters(shape: Shape, seat: Seat | Failed | None) -> dict[str, str]:
    """What heat/student.yaml is given of the network: the shared stack's outputs, or the rules of one of its own."""
    if isinstance(seat, Seat):
        return dict(seat.parameters)
    opened = sources(shape)
    return {"web_cidrs": ",".join(opened.web), "ssh_cidrs": ",".join(opened.ssh)}


def shared_parameters(task: Task, label: str) -> dict[str, str]:
    """What heat/shared.yaml is given."""
    order, ground = task.order, task.ground
    opened = sources(order.shape)
    parameters = {
        "tag": cohort_tag(order.cohort),
        "external_network": ground.network_id,
        "web_cidrs": ",".join(opened.web),
        "ssh_cidrs": ",".join(opened.ssh),
    }
    if not order.shape.gateway:
        return parameters
    return {
        **parameters,
        "gateway_name": gateway_name(order.cohort, labelled_number(label)),
        "gateway_image": ground.image.id,
        "gateway_flavor": ground.flavor.id,
        "web_port": "443" if order.course.scheme == "https" else "80",
    }
