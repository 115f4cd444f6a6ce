"""A presentation's builds: which is current, the next number, what rollback and prune do."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.builds import (
    Leftover,
    Published,
    abandoned,
    current,
    matching,
    next_number,
    next_promotion,
    numbered,
    plan_prune,
    promotion,
    promotion_order,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NOON = "2026-11-26T12:00:00.000000Z"


def build(number: int, promoted: str = "", **more: object) -> Published:
    made = Published(
        id=f"id{number}",
        course="demo",
        presentation="26J",
        build=f"build{number}",
        number=number,
        created=f"2026-11-2{number}T10:00:00Z",
        promoted=promoted and f"2026-11-{promoted}T10:00:00.000000Z",
        visibility="private",
        owner="us",
    )
    return replace(made, **more)  # type: ignore[arg-type]  # mypy cannot see that the names are fields


ONE, TWO, THREE = build(1, "21"), build(2, "22"), build(3, "23")


@pytest.mark.parametrize(
    ("builds", "order"),
    [
        ([], []),
        ([build(1)], []),  # published, and never promoted
        ([ONE, TWO, THREE], [3, 2, 1]),
        ([ONE, TWO, build(3)], [2, 1]),  # rolled back: it no longer counts
        ([build(1, "25"), TWO, THREE], [1, 3, 2]),  # promoted again
        ([build(1, "22"), TWO], [2, 1]),  # two at the very same time: always the same one
    ],
)
def test_exactly_one_is_current_and_one_is_previous(builds: list[Published], order: list[int]) -> None:
    for listed in (builds, builds[::-1]):
        assert [each.number for each in promotion_order(listed)] == order
        now = current(listed)
        assert (now and now.number) == (order[0] if order else None)


@pytest.mark.parametrize(
    ("builds", "number"), [([], 1), ([ONE], 2), ([ONE, THREE], 4), ([THREE, ONE], 4), ([build(7)], 8)]
)
def test_the_next_number(builds: list[Published], number: int) -> None:
    assert next_number(builds) == number


@pytest.mark.parametrize(
    ("builds", "numbers"),
    [
        ([], {}),
        ([THREE, ONE], {"id1": 1, "id3": 3}),  # nothing to heal: a gap stays
        ([replace(TWO, id="late", created="2026-11-23T10:00:00Z"), TWO], {"id2": 2, "late": 3}),
        ([replace(TWO, id="a", created=ONE.created), replace(TWO, id="b", created=ONE.created)], {"a": 2, "b": 3}),
        ([TWO, replace(TWO, id="x", created="2026-11-28T10:00:00Z"), THREE], {"id2": 2, "x": 3, "id3": 4}),
    ],
)
def test_each_number_is_had_once(builds: list[Published], numbers: dict[str, int]) -> None:
    assert {each.id: each.number for each in numbered(builds)} == numbers


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=8))
def test_numbers_are_unique_whatever_was_raced(pairs: list[tuple[int, int]]) -> None:
    builds = [replace(build(number), id=f"{place}", created=f"{when}") for place, (number, when) in enumerate(pairs)]
    numbers = [each.number for each in numbered(builds)]
    assert len(set(numbers)) == len(builds)
    assert numbered(builds) == numbered(builds[::-1])


@pytest.mark.parametrize(
    ("builds", "stamp"),
    [
        ([], NOON),
        ([THREE], NOON),
        ([build(1, "27")], "2026-11-27T10:00:00.000001Z"),  # somebody's clock is ahead of ours
        ([replace(ONE, promoted=NOON)], "2026-11-26T12:00:00.000001Z"),
    ],
)
def test_what_is_promoted_becomes_current(builds: list[Published], stamp: str) -> None:
    made = next_promotion(builds, NOW)
    assert made == stamp
    assert current([*builds, replace(build(9), promoted=made)]) == replace(build(9), promoted=made)


@pytest.mark.parametrize("text", ["", "now", "2026-13-26T12:00:00.000000Z", "2026-11-26T12:00:00Z", "9" + NOON[1:]])
def test_what_is_no_time_promotes_nothing(text: str) -> None:
    assert promotion(text) == ""
    assert promotion(NOON) == NOON


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("id2", ["id2"]),
        ("build1", ["id1"]),
        ("demo-26J:3", ["id3"]),
        ("demo-26J", ["id2"]),  # the current one
        ("demo-26J:9", []),
        ("demo", []),
        ("", []),
    ],
)
def test_what_a_person_may_call_a_build(reference: str, found: list[str]) -> None:
    assert [each.id for each in matching([ONE, TWO, build(3)], reference)] == found


KEPT = {"it is current", "it is the previous one"}


@pytest.mark.parametrize(
    ("builds", "keep", "used", "removed"),
    [
        ([], 0, {}, []),
        ([ONE, TWO], 0, {}, []),  # nothing to do
        ([build(1)], 1, {}, []),
        ([ONE, TWO, THREE], 0, {}, [1]),
        ([ONE, TWO, THREE], 3, {}, []),
        ([build(1, "25"), TWO, THREE], 0, {}, [2]),  # what was promoted last stays, whatever its number
        ([ONE, TWO, build(3)], 0, {}, [3]),
        ([ONE, TWO, build(3)], 1, {}, []),
        ([ONE, TWO, THREE], 0, {"id1": 2}, []),
        ([ONE, TWO, THREE], 0, {"id1": 0, "id3": 1}, [1]),
        ([replace(ONE, protected=True), TWO, THREE], 0, {}, []),
        ([replace(ONE, owner="them"), TWO, THREE], 0, {}, []),
    ],
)
def test_what_prune_takes(builds: list[Published], keep: int, used: dict[str, int], removed: list[int]) -> None:
    verdicts = plan_prune(builds, keep=keep, used=used, project="us")
    assert [each.build for each in verdicts] == builds
    assert [each.build.number for each in verdicts if each.remove] == removed
    assert {each.why for each in verdicts if each.build in promotion_order(builds)[:2]} <= KEPT


@pytest.mark.parametrize(
    ("builds", "keep", "used", "why"),
    [
        ([ONE], 0, {}, "it is current"),
        ([ONE, TWO], 0, {}, "it is the previous one"),
        ([build(1)], 0, {"id1": 1}, "it is in use"),
        ([build(1)], 2, {}, "it is one of the newest 2"),
        ([build(1)], 0, {}, "nothing needs it"),
        ([build(1, visibility="shared")], 0, {}, "nothing here needs it; machines of other projects cannot be seen"),
    ],
)
def test_prune_says_why(builds: list[Published], keep: int, used: dict[str, int], why: str) -> None:
    assert plan_prune(builds, keep=keep, used=used, project="us")[0].why == why


@pytest.mark.parametrize(
    ("leftover", "goes"),
    [
        (Leftover("x", "demo-26J (unfinished)", "2026-11-25T11:59:59Z"), True),
        (Leftover("x", "demo-26J (unfinished)", "2026-11-25T12:00:01Z"), False),  # somebody may be sending it
        (Leftover("list", "demo-26J contents of build1", "2026-11-20T10:00:00Z"), False),  # a build refers to it
    ],
)
def test_what_is_left_over(leftover: Leftover, goes: bool) -> None:
    assert abandoned([leftover], [replace(ONE, contents="list")], NOW) == ((leftover,) if goes else ())
