"""Where students' machines go on shared networks: which shared stacks a cohort needs, and who uses which."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from provision.core.naming import shared_label
from provision.core.plan import Action, Create, Keep, Remove, Replace, Stack, Wait, plan_cohort
from provision.core.shape import ROOM


@dataclass(frozen=True)
class Layout:
    """`actions` on the shared stacks that are in use, needed, or there twice.

    `seats` has each student whose stack is to be made, and what is done about the shared stack that it will use.
    """

    actions: tuple[Action, ...]
    seats: Mapping[str, Action]


@dataclass(frozen=True)
class _Shared:
    """Those that can take students, those that failed and hold nobody, and second ones of a name that hold nobody."""

    standing: tuple[Keep | Wait, ...]
    lost: Mapping[str, Replace]
    doubles: tuple[Remove, ...]


def plan_places(
    actions: Iterable[Action], stacks: Iterable[Stack], shared: Collection[Stack], *, room: int = ROOM
) -> Layout:
    """Give a place to all whose stack `actions` create or replace; `stacks` say who has one, and who has one keeps it.

    The shared stacks that stand are filled up to `room`, the oldest first; for the rest new ones are made.
    """
    used = Counter(stack.place for stack in stacks)
    found = _sort(shared, used)
    places = {place.stack.id: place for place in found.standing}
    making = [action for action in actions if isinstance(action, Create | Replace)]
    seats: dict[str, Action] = {
        action.student: places[action.stack.place]
        for action in making
        if isinstance(action, Replace) and action.stack.place in places
    }
    waiting = [action.student for action in making if action.student not in seats]
    for place in found.standing:
        free = max(0, room - used[place.stack.id])
        seats |= dict.fromkeys(waiting[:free], place)
        waiting = waiting[free:]
    for new in _new(found, shared):
        if not waiting:
            break
        seats |= dict.fromkeys(waiting[:room], new)
        waiting = waiting[room:]
    in_use = [place for place in found.standing if used[place.stack.id]]
    return Layout((*dict.fromkeys([*in_use, *seats.values()]), *found.doubles), seats)


def _sort(shared: Iterable[Stack], used: Mapping[str, int]) -> _Shared:
    """One that holds machines is never touched; if it failed, or is being deleted, nobody is added to it either."""
    standing: list[Keep | Wait] = []
    lost: dict[str, Replace] = {}
    doubles: list[Remove] = []
    oldest = sorted(shared, key=lambda stack: (stack.created, stack.id))
    for planned in plan_cohort(dict.fromkeys(stack.student for stack in oldest), oldest):
        action = planned
        if isinstance(planned, Remove) and used[planned.stack.id]:
            (action,) = plan_cohort([planned.student], [planned.stack])  # for itself alone
        if isinstance(action, Keep | Wait):
            standing.append(action)
        elif isinstance(action, Remove):
            doubles.append(action)
        elif isinstance(action, Replace) and not used[action.stack.id]:
            lost[action.student] = action
    return _Shared(tuple(standing), lost, tuple(doubles))


def _new(found: _Shared, shared: Iterable[Stack]) -> Iterator[Create | Replace]:
    """Those that can be made, each with the lowest number that is free, or is of one that failed."""
    taken = {stack.student for stack in shared}
    for label in map(shared_label, count(1)):
        if label in found.lost:
            yield found.lost[label]
        elif label not in taken:
            yield Create(label)
