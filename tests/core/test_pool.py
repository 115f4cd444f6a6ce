"""How many machines wait, and what is done about those there are: tables, and what holds for all of them."""

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.naming import pool_label, pool_name, pool_number, pool_server, server_name, student_of
from provision.core.plan import Stack
from provision.core.pool import (
    LEASE,
    Claim,
    Discard,
    Hours,
    Make,
    Prove,
    Step,
    Terms,
    is_idle,
    parse_hours,
    plan_pool,
    settle,
    wanted,
)

MONDAY = datetime(2026, 11, 23, 9, 0)
LESSON = parse_hours("mon,wed 09:00-11:00 40")
TERMS = Terms(5, (LESSON, parse_hours("daily 08:00-20:00 10")), timedelta(minutes=30), timedelta(minutes=60))


def at(clock: str, day: int = 0) -> datetime:
    return datetime.combine(MONDAY.date() + timedelta(days=day), time.fromisoformat(clock))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("mon,wed 09:00-11:00 40", Hours(frozenset({0, 2}), time(9), time(11), 40)),
        ("weekdays 08:30-18:00 3", Hours(frozenset(range(5)), time(8, 30), time(18), 3)),
        ("daily 00:00-23:59 1000", Hours(frozenset(range(7)), time(0), time(23, 59), 1000)),
    ],
)
def test_a_line_of_the_timetable(text: str, hours: Hours) -> None:
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("monday 09:00-11:00 40", "is not days, hours and a number"),
        ("mon 9:00-11:00 40", "is not days"),
        ("mon 09:00-24:00 40", "is not days"),
        ("mon 09:00-11:00 0", "is not days"),
        ("mon 09:00-11:00 1001", "is not days"),
        ("mon 11:00-09:00 40", "ends before it begins"),
        ("mon 09:00-09:00 40", "ends before it begins"),
    ],
)
def test_a_line_that_means_nothing(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_hours(text)


@pytest.mark.parametrize(
    ("now", "arrivals", "number"),
    [
        (at("07:29"), [], 5),  # nothing is near
        (at("07:30"), [], 10),  # begun ahead of the day ...
        (at("08:29"), [], 10),
        (at("08:30"), [], 40),  # ... and of the lesson,
        (at("10:59"), [], 40),
        (at("11:00"), [], 10),  # until it is over
        (at("10:00", day=1), [], 10),  # a Tuesday
        (at("20:00"), [], 5),
        (at("22:00"), [at("21:45")] * 7, 7),  # as many as came in half an hour,
        (at("22:00"), [at("21:20")] * 7, 5),  # not before,
        (at("22:00"), [at("21:45")] * 70, 40),  # and never more than anybody wrote down
        (at("22:00"), [at("22:10")] * 7, 5),  # of a clock that is ahead
    ],
)
def test_how_many_wait(now: datetime, arrivals: list[datetime], number: int) -> None:
    assert wanted(TERMS, now, arrivals) == number


def test_a_lesson_after_midnight_is_begun_the_day_before() -> None:
    early = Terms(0, (parse_hours("tue 00:10-02:00 9"),))
    assert [wanted(early, at(clock), []) for clock in ("23:39", "23:40")] == [0, 9]


def test_no_pool_stays_none_whoever_comes() -> None:
    assert wanted(Terms(), at("10:00"), [at("09:59")] * 9) == 0


@pytest.mark.parametrize(
    ("arrivals", "idle"),
    [([], True), ([at("08:00")], False), ([at("07:59")], True), ([at("07:00"), at("09:00")], False)],
)
def test_when_nobody_came_for_long(arrivals: list[datetime], idle: bool) -> None:
    assert is_idle(TERMS, at("09:00"), arrivals) == idle


def stack(number: int, status: str = "CREATE_COMPLETE", *, warm: bool = True) -> Stack:
    name = pool_name("demo-26J", number)
    return Stack(f"id{number}", name, pool_label(number), status, "", f"2026-11-23T{number:02}", warm=warm)


ONE, TWO, COLD, COMING = stack(1), stack(2), stack(3, warm=False), stack(4, "CREATE_IN_PROGRESS", warm=False)
LOST, GOING = stack(5, "CREATE_FAILED", warm=False), stack(6, "DELETE_IN_PROGRESS")
MANY = "more than are needed"


@pytest.mark.parametrize(
    ("free", "claimed", "want", "idle", "steps"),
    [
        ([], [], 0, True, []),
        ([ONE, TWO], [], 2, True, []),  # nothing to do
        ([], [], 2, True, [Make(1), Make(2)]),
        ([TWO], [], 3, True, [Make(1), Make(3)]),  # numbers that nobody has
        ([COMING], [], 1, True, []),  # what is being made counts
        ([COLD], [], 1, True, [Prove(COLD)]),
        ([ONE, TWO], [], 1, False, []),  # somebody came of late
        ([ONE, TWO], [], 1, True, [Discard(ONE, MANY)]),  # the oldest
        ([ONE, COLD], [], 1, True, [Discard(COLD, MANY)]),  # but those first that are not ready
        ([ONE, TWO], [], 0, False, [Discard(ONE, MANY), Discard(TWO, MANY)]),
        ([LOST], [], 1, True, [Discard(LOST, "its stack is CREATE_FAILED"), Make(1)]),
        ([GOING], [], 0, True, []),
        ([ONE], ["id1"], 1, True, [Make(2)]),  # it is as good as given
        ([LOST], ["id5"], 0, True, []),  # whoever claimed it sees to it
    ],
)
def test_what_is_done(free: list[Stack], claimed: list[str], want: int, idle: bool, steps: list[Step]) -> None:
    assert plan_pool(free, [], set(claimed), want, idle=idle) == tuple(steps)


STATES = st.sampled_from(
    ["CREATE_COMPLETE", "UPDATE_COMPLETE", "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "CREATE_FAILED", "UPDATE_FAILED",
     "DELETE_FAILED", "DELETE_IN_PROGRESS"]
)  # fmt: skip


@given(
    st.lists(st.tuples(STATES, st.booleans(), st.sampled_from(["free", "claimed", "taken"])), max_size=20),
    st.integers(0, 30),
    st.booleans(),
)
def test_whatever_is_there(states: list[tuple[str, bool, str]], want: int, idle: bool) -> None:
    stacks = [(stack(number, status, warm=warm), kind) for number, (status, warm, kind) in enumerate(states, 1)]
    free = [each for each, kind in stacks if kind != "taken"]
    taken = [each for each, kind in stacks if kind == "taken"]
    claimed = {each.id for each, kind in stacks if kind == "claimed"}
    steps = plan_pool(free, taken, claimed, want, idle=idle)
    touched = [step.stack for step in steps if not isinstance(step, Make)]
    assert all(each in free and each.id not in claimed for each in touched), "what somebody has or claims is his"
    assert len({each.id for each in touched}) == len(touched), "one thing is done to each"
    numbers = [step.number for step in steps if isinstance(step, Make)]
    assert len({*numbers}) == len(numbers)
    assert {*numbers}.isdisjoint(pool_number(each.name) for each, _ in stacks)
    gone = {step.stack.id for step in steps if isinstance(step, Discard)}
    good = [each for each in free if each.id not in claimed | gone and not each.status.startswith("DELETE_")]
    left = len(good) + len(numbers)
    assert left == want or (left > want > 0 and not idle and not numbers)
    assert not (numbers and any(step.why == MANY for step in steps if isinstance(step, Discard)))


MINE = Claim("p", "demo-26J.pool-1", "id1", "ada", LEASE + 1)
YOUNG = Claim("p", "demo-26J.pool-1", "id1", "ada", LEASE)
NOBODYS = Claim("p", "demo-26J.pool-1", "id1", "", LEASE + 1)


def owned(student: str, status: str = "UPDATE_COMPLETE") -> Stack:
    return Stack("id1", "demo-26J.pool-1", student, status, "", "2026-11-23T10")


@pytest.mark.parametrize(
    ("claim", "seen", "fate"),
    [
        (YOUNG, ONE, "wait"),
        (YOUNG, owned("ada"), "wait"),
        (YOUNG, None, "drop"),
        (MINE, None, "drop"),
        (MINE, stack(1, "DELETE_IN_PROGRESS"), "drop"),
        (MINE, stack(1, "DELETE_FAILED"), "drop"),
        (MINE, owned("ada"), "finish"),
        (MINE, owned("ada", "UPDATE_IN_PROGRESS"), "finish"),
        (MINE, ONE, "undo"),
        (NOBODYS, ONE, "undo"),
    ],
)
def test_what_becomes_of_a_claim(claim: Claim, seen: Stack | None, fate: str) -> None:
    assert settle(claim, seen) == fate


def test_names_of_pooled_machines_are_no_students() -> None:
    assert pool_number(pool_name("tm351-26J", 12)) == 12
    assert [pool_number(name) for name in ("tm351-26J-pool-1", "tm351-26J.pool-0", "tm351-26J.shared-1")] == [None] * 3
    assert pool_server("tm351-26J", 3) == "tm351-26J--pool-3" != server_name("tm351-26J", "pool-3")
    assert student_of(["provision=tm351-26J", "pool", "warm"]) is None
