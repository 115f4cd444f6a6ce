"""Pacing: the bucket's promise, for any sequence; and what the pace makes of clouds of several kinds."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.pacing import (
    FASTEST,
    HAIR,
    LONGEST_PAUSE,
    SLOWEST,
    UNSEEN,
    Bucket,
    Pace,
    ask,
    filled,
    full_bucket,
    start_pace,
    take_token,
    wait_for_token,
    wait_to_ask,
    was_refused,
    was_taken,
    went_badly,
    went_well,
)

from .cloud_model import Shape, by_pace, by_window

seconds = st.floats(0, 1000, allow_nan=False)


@given(
    rate=st.floats(0.01, 100),
    burst=st.floats(1, 50),
    steps=st.lists(st.tuples(st.one_of(seconds, st.floats(0, 0.1)), st.booleans()), max_size=60),
)
def test_in_no_window_is_more_taken_than_rate_times_t_and_the_burst(
    rate: float, burst: float, steps: list[tuple[float, bool]]
) -> None:
    bucket, now, taken = full_bucket(rate, burst, 0.0), 0.0, []
    for pause, patient in steps:
        now += pause
        if patient:  # as a client that waits exactly as long as it is told
            now += wait_for_token(bucket, now)
        after = take_token(bucket, now)
        assert after is not None or not patient
        if after:
            bucket = after
            taken.append(now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= rate * (taken[last] - begin) + burst + HAIR + 1e-6


def test_unused_time_is_worth_no_more_than_the_burst() -> None:
    bucket = filled(full_bucket(2.0, 3.0, 0.0), 1000.0)
    assert bucket == Bucket(2.0, 3.0, 3.0, 1000.0)


def test_a_clock_that_goes_back_fills_nothing() -> None:
    empty = Bucket(1.0, 1.0, 0.0, at=100.0)
    assert take_token(empty, 50.0) is None
    assert filled(empty, 50.0) == empty


@given(st.lists(st.tuples(st.sampled_from(["well", "slow", "badly", "refused", "taken"]), seconds), max_size=80))
def test_a_cloud_is_always_asked_again_and_never_flooded(events: list[tuple[str, float]]) -> None:
    pace, now = start_pace(0.0), 0.0
    for what, pause in events:
        now += pause
        wait = wait_to_ask(pace, now, 0)
        assert 0 <= wait <= max(LONGEST_PAUSE, 1 / SLOWEST)
        pace, asked = ask(pace, now + wait)
        now = asked.at + (500 if what == "slow" else 1)
        match what:
            case "badly":
                pace = went_badly(pace, asked, now)
            case "refused":
                pace = was_refused(pace, asked, now, None, 0.5)
            case "taken":
                pace = was_taken(pace)
            case _:
                pace = went_well(pace, asked, now)
        assert SLOWEST <= pace.rate <= FASTEST
        assert pace.window >= 1


def test_no_more_than_the_window_are_open() -> None:
    pace = start_pace(0.0)
    assert wait_to_ask(pace, 0.0, UNSEEN - 1) == 0
    assert wait_to_ask(pace, 0.0, UNSEEN) == inf


def asked_often(pace: Pace, now: float, how: str, times: int) -> tuple[Pace, float]:
    """All of them under way at once."""
    asked = []
    for _ in range(times):
        now += wait_to_ask(pace, now, 0)
        pace, one = ask(pace, now)
        asked.append(one)
    now += 20
    for one in asked:
        pace = went_well(pace, one, one.at + 20) if how == "well" else went_badly(pace, one, now)
    return pace, now


def test_a_pace_is_proved_before_the_next_is_taken_and_trouble_cuts_it() -> None:
    # The first that is asked for finds a full bucket, and proves no pace.
    assert asked_often(start_pace(0.0), 0.0, "well", 8)[0].rate == 1.5
    pace, now = asked_often(start_pace(0.0), 0.0, "well", 9)
    assert pace.rate == 2.25
    pace, now = asked_often(pace, now, "badly", 6)
    assert (pace.rate, pace.ceiling) == (1.6875, 2.25)


def test_one_in_five_bad_answers_is_no_overload() -> None:
    pace, now = start_pace(0.0), 0.0
    for _ in range(40):
        pace, now = asked_often(pace, now, "well", 4)
        pace, now = asked_often(pace, now, "badly", 1)
    assert pace.ceiling == inf


@pytest.mark.parametrize(("wait", "until"), [(None, 101.0), (30.0, 130.0), (0.0, 101.0)])
def test_the_cloud_says_how_long_to_wait(wait: float | None, until: float) -> None:
    pace, asked = ask(start_pace(0.0), 99.0)
    pace = was_refused(pace, asked, 100.0, wait, 0.0)
    assert pace.paused_until == until
    same_time = was_refused(pace, asked, 100.1, None, 0.0)
    assert same_time.paused_until == until  # many that were under way together count once
    pace, asked = ask(pace, until)
    assert was_refused(pace, asked, until, None, 0.0).paused_until == until + 2
    assert was_refused(was_taken(pace), asked, until, None, 0.0).paused_until == until + 1


SHAPES = {
    "a small cloud that queues": Shape(lambda _: 0.5, 15),
    "works at 1.5, refuses all at 2": Shape(lambda _: 5, 30, knee=1.5, collapse=2),
    "works at 1.9, above it stacks fail in the end": Shape(lambda _: 5, 30, breaks=1.9),
    "works the worse the more are open": Shape(lambda _: 1.5, 30, crowded=90),
    "a large cloud of uneven speed": Shape(lambda _: 3, 20, spread=0.5),
    "others come and go": Shape(lambda now: 1 if int(now / 120) % 2 else 3, 20),
    "slow machines": Shape(lambda _: 1.5, 120),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_the_pace_is_as_good_as_the_best_window(shape: Shape) -> None:
    """Within a tenth, though nobody knows the best before."""
    best = min(by_window(shape, 1000, window).seconds for window in (12, 24, 48, 64, 96, 192))
    assert by_pace(shape, 1000).seconds <= 1.1 * best


def test_past_the_knee_the_goodput_stays() -> None:
    """Where 1.5 creates a second work and 2 do not, the students' own time counted too."""
    run = by_pace(SHAPES["works at 1.5, refuses all at 2"], 1000)
    assert 1000 / (run.seconds - 30) >= 0.95 * 1.5
    assert run.creates <= 1100
    assert by_window(SHAPES["works at 1.5, refuses all at 2"], 1000, 192).seconds > 2 * run.seconds
