"""New machines for a pool: made as students' are, but nobody's, one after the other."""

from dataclasses import dataclass, replace

from provision.cloud.stacks import StackExistsError, create_stack
from provision.core.naming import POOL_TAG, place_tag, pool_label, pool_name, pool_server
from provision.core.outcome import Failed
from provision.core.plan import Create
from provision.core.pool import Terms
from provision.core.roster import Student
from provision.errors import BusyError, CapacityError, CloudError, PreflightError, ProvisionError, UnsureError
from provision.guests.probes import Stage
from provision.paths import data_path
from provision.progress import Progress
from provision.workflows.handouts import ensure_caretaker
from provision.workflows.labels import observe_cohort
from provision.workflows.pool import Pool
from provision.workflows.preflight import Ground, Wish, check_ground
from provision.workflows.shared import Seat, Task, ensure_shared, find_places, network_parameters

GAP = 0.7  # seconds between two creates: there is time, and a launch may want the cloud, too


@dataclass(frozen=True)
class Keeper:
    """Who keeps a pool, and to what terms. `waiting` is proved of those that are nobody's.

    A machine has `deadline` seconds, from when its stack is complete, to prove itself.
    """

    pool: Pool
    terms: Terms
    waiting: tuple[Stage, ...]
    deadline: float = 900.0


def make_machines(keeper: Keeper, numbers: list[int], progress: Progress) -> ProvisionError | None:
    """Ask for new machines, one after the other; the trouble that ended it, if one did that stays."""
    if not numbers:
        return None
    pool = keeper.pool
    try:
        ground = check_ground(pool.connection, _wish(keeper, numbers), making=True)
    except PreflightError as exc:
        return exc
    seats = _seats(keeper, ground, numbers, progress)
    template = data_path("heat/student.yaml").read_text()
    for number in numbers:
        try:
            _create(keeper, ground, template, number, seats.get(pool_label(number)))
        except (BusyError, UnsureError, StackExistsError):
            return None  # the next look tells
        except (CapacityError, CloudError) as exc:
            return exc
        pool.clock.sleep(GAP)
    return None


def _wish(keeper: Keeper, numbers: list[int]) -> Wish:
    order = keeper.pool.order
    return Wish(
        order.course,
        order.presentation,
        order.choice.image,
        order.choice.flavor,
        order.choice.network,
        machines=len(numbers),
        shape=order.shape,
        stack_limit=order.choice.stack_limit,
    )


def _seats(keeper: Keeper, ground: Ground, numbers: list[int], progress: Progress) -> dict[str, Seat | Failed]:
    """Where they go on shared networks, as if those who come later were students already."""
    pool = keeper.pool
    if not pool.order.shape.shared:
        return {}
    labels = [pool_label(number) for number in numbers]
    order = replace(pool.order, students=tuple(Student(label, "", "") for label in labels))
    stacks = observe_cohort(pool.connection, order.cohort, order.labels)
    layout = find_places(pool.connection, order, [Create(label) for label in labels], stacks)
    return ensure_shared(Task(pool.connection, order, ground, keeper.deadline, pool.clock), layout, progress)


def _create(keeper: Keeper, ground: Ground, template: str, number: int, seat: Seat | Failed | None) -> None:
    pool = keeper.pool
    if isinstance(seat, Failed):
        raise CloudError(f"There is no network for it: {seat.reason}", hint=seat.hint)
    parameters = {
        "student": pool_label(number).replace(" ", "-"),
        "server_name": pool_server(pool.order.cohort, number),
        "tag": pool.tag,
        "image": ground.image.id,
        "flavor": ground.flavor.id,
        "external_network": ground.network_id,
        "caretaker_keys": ensure_caretaker(pool.folder),
        **network_parameters(pool.order.shape, seat),
    }
    place = [place_tag(seat.stack)] if seat else []
    create_stack(
        pool.connection, pool_name(pool.order.cohort, number), template, parameters, pool.tag, POOL_TAG, *place
    )
