"""Where a student is, by what the cloud shows and what was asked."""

from dataclasses import replace

import pytest

from provision.core.plan import Action, Create, Keep, Replace, Stack, Wait
from provision.core.standing import Place, State, Wish, stand, typical_seconds

SEEN = 100.0
OPEN = Wish("ada", "start", 90.0, "REF")
TAKEN = replace(OPEN, owner="one", taken=91.0)
READY = replace(TAKEN, made=92.0, served=95.0, ended=99.0, url="http://192.0.2.1/")
FAILED = replace(READY, failed=True, url="", stage="kernel", reason="no", hint="do")


def stack(status: str) -> Stack:
    return Stack("id", "demo-26J-ada", "ada", status, "why", "2026-11-28T00:00:00Z")


NOTHING = Create("ada")
BEING_MADE, STANDS = Wait("ada", stack("CREATE_IN_PROGRESS")), Keep("ada", stack("CREATE_COMPLETE"))
BROKEN, GOING = Replace("ada", stack("CREATE_FAILED")), Replace("ada", stack("DELETE_IN_PROGRESS"))

CASES: tuple[tuple[Action, Wish | None, bool, State], ...] = (
    (NOTHING, None, False, "none"),
    (NOTHING, OPEN, False, "queued"),
    (NOTHING, TAKEN, False, "reserving"),
    (NOTHING, READY, False, "none"),  # somebody deleted it since
    (NOTHING, FAILED, False, "failed"),
    (BEING_MADE, None, False, "starting"),  # a launch by hand
    (BEING_MADE, TAKEN, False, "starting"),
    (STANDS, replace(TAKEN, made=92.0), False, "software"),
    (STANDS, replace(TAKEN, made=92.0, served=93.0), False, "checking"),
    (STANDS, READY, False, "ready"),
    (STANDS, FAILED, False, "failed"),
    (STANDS, None, False, "checking"),
    (STANDS, READY, True, "asleep"),
    (STANDS, None, True, "asleep"),
    (STANDS, replace(OPEN, kind="stop"), False, "stopping"),
    (STANDS, replace(READY, kind="stop"), False, "asleep"),
    (STANDS, replace(OPEN, kind="wake"), True, "queued"),
    (STANDS, replace(TAKEN, kind="wake"), True, "starting"),
    (BROKEN, None, False, "failed"),
    (BROKEN, READY, False, "failed"),
    (BROKEN, FAILED, False, "failed"),
    (BROKEN, TAKEN, False, "reserving"),
    (GOING, None, False, "stopping"),
    # What ended after the cloud was seen, it does not show yet.
    (BEING_MADE, replace(READY, ended=101.0), False, "ready"),
    (STANDS, replace(READY, kind="wake", ended=101.0), True, "ready"),
    (STANDS, replace(READY, kind="stop", ended=101.0), False, "asleep"),
)


@pytest.mark.parametrize(("action", "wish", "asleep", "state"), CASES)
def test_state(action: Action, wish: Wish | None, asleep: bool, state: State) -> None:
    assert stand(action, wish, seen=SEEN, asleep=asleep).state == state


def test_what_is_told_of_a_failure_and_of_a_ready_machine() -> None:
    assert stand(STANDS, FAILED, seen=SEEN) == Place("failed", "", 99.0, "REF", "kernel", "no", "do", stands=True)
    assert stand(STANDS, READY, seen=SEEN) == Place("ready", "http://192.0.2.1/", 99.0, "REF", password=True)
    assert not stand(STANDS, replace(READY, shown=99.5), seen=SEEN).password
    assert stand(NOTHING, OPEN, seen=SEEN, ahead=7).ahead == 7


def test_typical_times_are_of_those_who_came_from_nothing() -> None:
    cold = [replace(READY, cold=True, made=91.0 + step) for step in (1.0, 2.0, 3.0)]
    others = [READY, replace(FAILED, cold=True), replace(OPEN, cold=True)]
    assert typical_seconds([*cold, *others]) == {"reserving": 1.0, "starting": 2.0, "software": 2.0, "checking": 4.0}
    assert typical_seconds(others) == {}
