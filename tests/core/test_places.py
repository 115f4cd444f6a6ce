"""Where machines go on shared networks, as a table; and what holds for every cohort, however it grows."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.places import Layout, plan_places
from provision.core.plan import Action, Create, Keep, Remove, Replace, Stack, Wait, plan_cohort

ROOM = 2


def own(student: str, place: str = "", status: str = "CREATE_COMPLETE") -> Stack:
    return Stack(f"id-{student}", f"demo-26J-{student}", student, status, "", "2026-11-22T10:00:00Z", place)


def shared(number: int, status: str = "CREATE_COMPLETE", *, double: str = "") -> Stack:
    created = f"2026-11-22T09:0{double or 0}:{number:02}Z"
    return Stack(f"S{number}{double}", f"demo-26J.shared-{number}", f"shared {number}", status, "", created)


ONE, TWO = shared(1), shared(2)
GOING, FAILED, LEAVING = shared(1, "CREATE_IN_PROGRESS"), shared(1, "CREATE_FAILED"), shared(1, "DELETE_FAILED")
TWIN = shared(1, double="5")
KEEP1, KEEP2 = Keep("shared 1", ONE), Keep("shared 2", TWO)
NEW1, NEW2, NEW3 = Create("shared 1"), Create("shared 2"), Create("shared 3")


@pytest.mark.parametrize(
    ("students", "stacks", "there", "actions", "seats"),
    [
        # Nobody needs a place: nothing is made, and nothing that stands is touched.
        ("", [], [], [], {}),
        ("", [], [ONE], [], {}),
        ("a", [own("a", "S1")], [ONE], [KEEP1], {}),
        # As many as are needed, in the roster's order, numbered from 1.
        ("a", [], [], [NEW1], {"a": NEW1}),
        ("abc", [], [], [NEW1, NEW2], {"a": NEW1, "b": NEW1, "c": NEW2}),
        # What stands, or is being made, is filled first, the oldest first.
        ("a", [], [ONE], [KEEP1], {"a": KEEP1}),
        ("a", [], [GOING], [Wait("shared 1", GOING)], {"a": Wait("shared 1", GOING)}),
        ("abc", [own("a", "S1")], [ONE], [KEEP1, NEW2], {"b": KEEP1, "c": NEW2}),
        ("abc", [own("a", "S1"), own("b", "S1")], [TWO, ONE], [KEEP1, KEEP2], {"c": KEEP2}),
        # Who has a place keeps it, whoever comes and goes; those who are not in the roster take room, too.
        ("cab", [own("a", "S2"), own("x", "S1"), own("y", "S1")], [ONE, TWO], [KEEP1, KEEP2, NEW3],
         {"c": KEEP2, "b": NEW3}),
        ("a", [own("a", "S2", "CREATE_FAILED")], [ONE, TWO], [KEEP2], {"a": KEEP2}),
        # One that failed and holds nobody is replaced when it is needed; otherwise it is left for delete.
        ("a", [], [FAILED], [Replace("shared 1", FAILED)], {"a": Replace("shared 1", FAILED)}),
        ("", [], [FAILED], [], {}),
        # One that was to be deleted and holds machines is left alone, and takes nobody.
        ("ab", [own("a", "S1")], [LEAVING], [NEW2], {"b": NEW2}),
        ("a", [own("a", "S1", "CREATE_FAILED")], [LEAVING], [NEW2], {"a": NEW2}),
        # Two of one name: the younger goes, unless it holds machines.
        ("a", [], [TWIN, ONE], [KEEP1, Remove("shared 1", TWIN)], {"a": KEEP1}),
        ("a", [own("x", "S15")], [ONE, TWIN], [Keep("shared 1", TWIN), KEEP1], {"a": KEEP1}),
        ("abcd", [own("x", "S15")], [ONE, TWIN], [Keep("shared 1", TWIN), KEEP1, NEW2],
         {"a": KEEP1, "b": KEEP1, "c": Keep("shared 1", TWIN), "d": NEW2}),
        # A machine with a network of its own, from before the shape was changed, keeps it; a new one of it does not.
        ("a", [own("a")], [], [], {}),
        ("a", [own("a", status="CREATE_FAILED")], [], [NEW1], {"a": NEW1}),
        # A shared stack that is gone, whoever's hand it was.
        ("a", [own("a", "S9", "CREATE_FAILED")], [ONE], [KEEP1], {"a": KEEP1}),
    ],
)  # fmt: skip
def test_places(
    students: str, stacks: list[Stack], there: list[Stack], actions: list[Action], seats: dict[str, Action]
) -> None:
    assert plan_places(plan_cohort(students, stacks), stacks, there, room=ROOM) == Layout(tuple(actions), seats)


def carried_out(layout: Layout, stacks: list[Stack], there: list[Stack]) -> tuple[list[Stack], list[Stack]]:
    """The cloud after all was done as planned."""
    for action in layout.actions:
        if isinstance(action, Create):
            there = [*there, shared(int(action.student.split()[1]))]
    ids = {stack.student: stack.id for stack in there}
    made = [own(student, ids[place.student]) for student, place in layout.seats.items()]
    return [*(stack for stack in stacks if stack.student not in layout.seats), *made], there


@given(st.lists(st.sets(st.sampled_from("abcdefghijklm")), min_size=1, max_size=5), st.integers(1, 4))
def test_however_a_roster_changes_each_has_one_place_and_keeps_it(rosters: list[set[str]], room: int) -> None:
    stacks: list[Stack] = []
    there: list[Stack] = []
    for roster in rosters:
        before = {stack.student: stack.place for stack in stacks}
        layout = plan_places(plan_cohort(sorted(roster), stacks), stacks, there, room=room)
        new = sum(isinstance(action, Create) for action in layout.actions)
        space = sum(room - list(before.values()).count(stack.id) for stack in there)
        assert new == max(0, -(-(len(roster - set(before)) - space) // room))
        stacks, there = carried_out(layout, stacks, there)
        assert {stack.student for stack in stacks} == set(before) | roster
        assert {stack.student: stack.place for stack in stacks if stack.student in before} == before
        assert max(Counter(stack.place for stack in stacks).values(), default=0) <= room
        again = plan_places(plan_cohort(sorted(roster), stacks), stacks, there, room=room)
        assert (again.seats, {type(action) for action in again.actions} - {Keep}) == ({}, set())


@given(st.sets(st.sampled_from("abcdefghijklm")), st.integers(1, 4), st.data())
def test_a_plan_that_was_half_carried_out_goes_on_as_it_was(students: set[str], room: int, data: st.DataObject) -> None:
    layout = plan_places(plan_cohort(sorted(students), []), [], [], room=room)
    stacks, there = carried_out(layout, [], [])
    half = [stack for stack in stacks if data.draw(st.booleans())]
    states = [replace(stack, status=data.draw(st.sampled_from(["CREATE_COMPLETE", GOING.status]))) for stack in there]
    after = plan_places(plan_cohort(sorted(students), half), half, states, room=room)
    assert {student: place.student for student, place in after.seats.items()} == {
        student: place.student for student, place in layout.seats.items() if own(student).id not in {s.id for s in half}
    }
