"""Who is moved to another image, and in which waves: one case for each way in which a machine can stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.plan import Stack, plan_cohort
from provision.core.servers import Server
from provision.core.waves import Move, Stay, halts, plan_moves, waves

OLD, NEW, OTHER = "old", "new", "other"


def stack(student: str = "ada", status: str = "CREATE_COMPLETE", number: int = 1) -> Stack:
    return Stack(f"id{number}", f"demo-26J-{student}", student, status, "", f"2026-11-22T10:00:0{number}Z")


def plan(status: str, server: Server | None, kept: str | None = None) -> tuple[Move | Stay, ...]:
    actions = plan_cohort(["ada"], [stack(status=status)])
    return plan_moves(actions, {"ada": server} if server else {}, NEW, {"ada": kept} if kept else {})


def machine(image: str, status: str = "ACTIVE", task: str = "") -> Server:
    return Server("s1", "demo-26J-ada", status, task, image=image)


@pytest.mark.parametrize(
    ("status", "server", "kept", "back_up", "update"),
    [
        ("CREATE_COMPLETE", machine(OLD), None, True, True),
        ("UPDATE_COMPLETE", machine(OLD), None, True, True),
        ("UPDATE_FAILED", machine(OLD), None, True, True),  # Heat said no before Nova heard of it
        ("UPDATE_COMPLETE", machine(OLD), NEW, True, True),  # fetched, never moved: the student went on working
        ("UPDATE_COMPLETE", machine(OLD), OTHER, True, True),
        ("UPDATE_COMPLETE", machine(NEW), NEW, False, False),  # killed before the work was back
        ("UPDATE_IN_PROGRESS", machine(NEW, "REBUILD", "rebuilding"), NEW, False, False),
        ("UPDATE_FAILED", machine(NEW, "ERROR"), NEW, False, True),
    ],
)
def test_who_is_moved(status: str, server: Server, kept: str | None, back_up: bool, update: bool) -> None:
    assert plan(status, server, kept) == (Move("ada", stack(status=status), back_up, update),)


@pytest.mark.parametrize(
    ("status", "server", "kept", "why", "wrong"),
    [
        ("CREATE_COMPLETE", machine(NEW), None, "has the image", False),
        ("UPDATE_COMPLETE", machine(NEW), OTHER, "has the image", False),
        ("CREATE_COMPLETE", None, None, "its server is gone", True),
        ("CREATE_FAILED", None, None, "its stack is CREATE_FAILED", True),
        ("CREATE_IN_PROGRESS", machine(OLD), None, "its stack is CREATE_IN_PROGRESS", True),
        ("CREATE_COMPLETE", machine(OLD, "SUSPENDED"), None, "it sleeps (SUSPENDED)", True),
        ("CREATE_COMPLETE", machine(OLD, "SHUTOFF"), None, "its server is SHUTOFF", True),
        ("CREATE_COMPLETE", machine(OLD, "ACTIVE", "reboot"), None, "its server is ACTIVE, task reboot", True),
        ("UPDATE_COMPLETE", machine(OTHER), OTHER,
         "its student's work is still to be given back on image other", True),
    ],
)  # fmt: skip
def test_who_is_not(status: str, server: Server | None, kept: str | None, why: str, wrong: bool) -> None:
    (stay,) = plan(status, server, kept)
    assert isinstance(stay, Stay)
    assert (stay.why, stay.wrong, bool(stay.hint)) == (why, wrong, wrong)


def test_those_without_a_machine_or_a_name_and_second_stacks() -> None:
    stacks = [stack("ada"), stack("ada", number=2), stack("gone", number=3)]
    planned = plan_moves(plan_cohort(["ada", "new"], stacks), {"ada": machine(OLD)}, NEW, {})
    assert [(each.student, type(each)) for each in planned] == [("ada", Move), ("new", Stay), ("gone", Stay)]
    assert not any(each.wrong for each in planned if isinstance(each, Stay))


moves = st.lists(st.booleans(), max_size=60).map(
    lambda each: [Move(f"s{number}", stack(), back_up, back_up) for number, back_up in enumerate(each)]
)


@given(moves, st.integers(1, 30))
def test_everybody_is_in_one_wave_and_the_first_that_is_touched_is_alone(planned: list[Move], size: int) -> None:
    found = waves(planned, size)
    assert sorted(each.student for wave in found for each in wave) == sorted(each.student for each in planned)
    assert all(0 < len(wave) <= size for wave in found)
    kinds = [{each.back_up for each in wave} for wave in found]
    assert kinds == sorted(kinds, key=lambda each: True in each)
    touched = [wave for wave in found if wave[0].back_up]
    assert not touched or len(touched[0]) == 1
    assert len(found) <= 2 + len(planned) // size + 1


@pytest.mark.parametrize(
    ("failed", "wave", "most", "halted"),
    [(0, 1, 0, False), (1, 1, 10, True), (1, 10, 10, False), (2, 10, 10, True), (1, 100, 0, True), (9, 9, 100, False)],
)
def test_when_it_is_halted(failed: int, wave: int, most: float, halted: bool) -> None:
    assert halts(failed, wave, most) == halted
