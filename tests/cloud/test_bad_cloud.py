"""A launch on a cloud that refuses, loses answers and is out for minutes: nothing twice, nobody forgotten."""

import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
import requests_mock as rm
from openstack.connection import Connection

from provision.core.outcome import Failed, Outcome
from provision.errors import AuthenticationError, CloudError, StudentsFailedError
from provision.progress import Silent
from provision.workflows.cohort import delete, launch

from ..simulator.clock import VirtualClock
from .conftest import HEAT, KEYSTONE, NEUTRON, NOVA
from .test_launch import COMPLETE, GOING, Heat, nothing_left, order
from .test_preflight import cloud_has

LOST = requests.exceptions.ConnectionError("Connection aborted.")
Begin = Callable[..., dict[str, Outcome]]
Trouble = Callable[[int, float], Any]  # of the number of the call and the time since the beginning


def answer(status: int, **headers: str) -> tuple[int, dict[str, str]]:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}


class Bad:
    """A Heat in front of which troubles stand: by method, each call's status and headers, an exception, or nothing."""

    def __init__(self, http: rm.Mocker, **troubles: Trouble) -> None:
        self.heat, self.clock, self.acted_first = Heat(http), VirtualClock(), False
        self.began, self.times = self.clock.now(), list[float]()
        self.calls = {method: count(1) for method in ("get", "post", "delete")}
        self.troubles = troubles
        http.get(f"{HEAT}/stacks", json=self.around("get", self.heat.index))
        http.post(f"{HEAT}/stacks", json=self.around("post", self.heat.create))
        http.delete(re.compile(f"{HEAT}/stacks/"), json=self.around("delete", self.heat.delete))

    def around(self, method: str, act: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def answers(request: Any, context: Any) -> Any:
            now = self.clock.now() - self.began
            if method == "post":
                self.times.append(now)
            number = next(self.calls[method])
            trouble = self.troubles[method](number, now) if method in self.troubles else None
            if self.acted_first or trouble is None:
                done = act(request, context)
            if isinstance(trouble, Exception):
                raise trouble
            if trouble:
                context.status_code, context.headers = trouble
                return {"error": {"message": "It is not to be."}}
            return done

        return answers


@pytest.fixture
def begin(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> Begin:
    cloud_has(http)
    roomy = {"limit": -1, "used": 0, "reserved": 0}
    kinds = ("network", "subnet", "router", "port", "security_group", "security_group_rule", "floatingip")
    http.get(f"{NEUTRON}/v2.0/quotas/project1/details", json={"quota": dict.fromkeys(kinds, roomy)})
    for kind in ("floatingips", "ports"):  # where the lists say nothing, each stack is asked
        http.get(f"{NEUTRON}/v2.0/{kind}", json={kind: []})
    http.get(f"{NOVA}/limits", json={"limits": {"absolute": {}, "rate": []}})

    def run(bad: Bad, *students: str, deadline: float = 900) -> dict[str, Outcome]:
        outcomes = launch(
            cloud,
            order(*students),
            folder=tmp_path,
            deadline=deadline,
            progress=Silent(),
            stages=(),
            clock=bad.clock,
        )
        assert [outcome.student for outcome in outcomes] == list(students)
        return {outcome.student: outcome for outcome in outcomes}

    return run


def once(trouble: Any) -> Trouble:
    return lambda number, _now: trouble if number == 1 else None


def always(trouble: Any) -> Trouble:
    return lambda _number, _now: trouble


def failed(outcomes: dict[str, Outcome]) -> dict[str, Failed]:
    return {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Failed)}


def test_a_create_whose_answer_is_lost_after_it_was_heard_is_not_sent_again(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http, post=once(LOST))
    bad.acted_first = True
    assert failed(begin(bad, "a")) == {}
    assert bad.heat.asked() == ["POST demo-26J-a"]


@pytest.mark.parametrize("trouble", [LOST, answer(500), answer(502), answer(504)], ids=["lost", "500", "502", "504"])
def test_one_that_was_not_heard_is_sent_again_when_a_list_call_shows_none(
    begin: Begin, http: rm.Mocker, trouble: Any
) -> None:
    bad = Bad(http, post=once(trouble))
    assert failed(begin(bad, "a")) == {}
    first, second = bad.times
    assert 10 <= second - first <= 30


@pytest.mark.parametrize("status", [429, 503])
def test_the_whole_cohort_waits_as_long_as_the_cloud_asks(begin: Begin, http: rm.Mocker, status: int) -> None:
    bad = Bad(http, post=once(answer(status, Retry_After="40")))
    assert failed(begin(bad, "a", "b", "c")) == {}
    assert len(bad.times) == 4
    assert all(time - bad.times[0] >= 40 for time in bad.times[1:])


def test_one_that_never_works_is_told_with_the_clouds_words(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http, post=always(answer(500)))
    lost = failed(begin(bad, "a"))["a"]
    assert (lost.stage, len(bad.times)) == ("create", 9)
    assert "It is not to be." in lost.reason
    assert "application credential" in lost.hint
    assert bad.times[-1] - bad.times[0] >= 360  # longer than a controller needs to come back


def test_a_cloud_that_takes_nothing_for_twenty_minutes_is_asked_no_more(begin: Begin, http: rm.Mocker) -> None:
    students = [f"s{number}" for number in range(40)]
    bad = Bad(http, post=always(answer(503)))
    lost = failed(begin(bad, *students))
    assert len(lost) == 40
    assert sum("for 20 minutes the cloud took no create" in each.reason for each in lost.values()) >= 10
    assert 1200 <= bad.times[-1] <= 1300
    assert len(bad.times) <= 100


@pytest.mark.parametrize(("times", "stacks", "ends_well"), [(1, 2, True), (2, 3, True), (9, 3, False)])
def test_a_stack_that_fails_for_no_known_reason_is_made_anew(
    begin: Begin, http: rm.Mocker, times: int, stacks: int, ends_well: bool
) -> None:
    bad = Bad(http)
    bad.heat.fate["a"] = "CREATE_FAILED"
    words = {"resource_name": "server", "resource_status": "CREATE_FAILED", "updated_time": "2026-11-22T10:00:00Z"}
    words["resource_status_reason"] = "MessagingTimeout: Timed out waiting for a reply"

    def why(*_: Any) -> Any:
        if len(bad.times) >= times:
            bad.heat.fate["a"] = COMPLETE
        return {"resources": [words]}

    http.get(re.compile(rf"{HEAT}/stacks/[^/]+/[^/]+/resources"), json=why)
    lost = failed(begin(bad, "a"))
    assert (len(bad.times), lost == {}) == (stacks, ends_well)


def test_a_list_that_fails_for_five_minutes_is_borne(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http, get=lambda _number, now: answer(503) if 3 < now < 303 else None)
    assert failed(begin(bad, "a", "b")) == {}
    assert len(bad.times) == 2


def test_a_list_that_fails_for_ever_ends_the_run(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http, get=lambda _number, now: LOST if now > 3 else None)
    with pytest.raises(CloudError, match="Listing the stacks failed"):
        begin(bad, "a")


def test_a_credential_that_is_refused_for_good_ends_the_run(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http, post=always(answer(401)), get=lambda number, _now: answer(401) if number > 3 else None)

    def dead(number: int, _now: float) -> Any:
        http.post(f"{KEYSTONE}/auth/tokens", status_code=401)
        return answer(401)

    bad.troubles["post"] = dead
    with pytest.raises(AuthenticationError, match="credential is not accepted"):
        begin(bad, "a", "b")


def test_a_delete_that_gets_lost_is_asked_for_again(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http, delete=once(LOST))
    bad.heat.add("a", "CREATE_FAILED")
    assert failed(begin(bad, "a")) == {}
    assert bad.heat.asked() == ["DELETE demo-26j-a", "DELETE demo-26j-a", "POST demo-26J-a"]


def test_a_stack_that_is_never_done_is_an_outcome(begin: Begin, http: rm.Mocker) -> None:
    bad = Bad(http)
    bad.heat.fate["slow"] = GOING
    lost = failed(begin(bad, "slow", "fine"))
    assert list(lost) == ["slow"]
    assert "still CREATE_IN_PROGRESS after 900 s" in lost["slow"].reason


def test_all_wait_in_order_and_come_no_faster_than_the_pace(begin: Begin, http: rm.Mocker) -> None:
    bad, students = Bad(http), [f"s{number:02}" for number in range(40)]
    assert failed(begin(bad, *students)) == {}
    assert bad.heat.asked() == [f"POST demo-26J-{name}" for name in students]
    early = [time - bad.times[0] for time in bad.times[:8]]
    assert all(time >= (number - 1.375) / 1.5 - 1e-3 for number, time in enumerate(early, 1))


def test_every_fifth_call_fails_and_the_cloud_is_out_for_six_minutes(begin: Begin, http: rm.Mocker) -> None:
    dice, students = Random(7), [f"s{number}" for number in range(50)]  # noqa: S311

    def trouble(_number: int, now: float) -> Any:
        if 30 < now < 390:
            return LOST
        if now < 1 or dice.random() < 0.8:  # requests-mock stands where reads are sent again: see test_patience.py
            return None
        return dice.choice([answer(503), answer(500), answer(429, Retry_After="2"), LOST])

    bad = Bad(http, post=trouble, get=trouble, delete=trouble)
    assert failed(begin(bad, *students)) == {}
    names = [stack["stack_name"] for stack in bad.heat.stacks.values()]
    assert sorted(names) == sorted(f"demo-26J-{name}" for name in students)


def remove(cloud: Connection, http: rm.Mocker, bad: Bad, *students: str, deadline: float = 900) -> int:
    nothing_left(http)
    for name in students:
        bad.heat.add(name, COMPLETE)
    return delete(cloud, "demo-26J", deadline=deadline, progress=Silent(), clock=bad.clock)


@pytest.mark.parametrize("trouble", [LOST, answer(500), answer(503, Retry_After="30"), answer(401)])
def test_an_end_that_gets_lost_is_asked_for_again(cloud: Connection, http: rm.Mocker, trouble: Any) -> None:
    bad = Bad(http, delete=lambda number, _now: trouble if number <= 2 else None)
    assert remove(cloud, http, bad, "a", "b") == 2
    assert bad.heat.stacks == {}


def test_an_end_that_is_refused_is_told(cloud: Connection, http: rm.Mocker) -> None:
    bad = Bad(http, delete=once(answer(403)))
    with pytest.raises(StudentsFailedError, match=r"demo-26J-a: Deleting stack demo-26J-a failed\. The user's role"):
        remove(cloud, http, bad, "a", "b")


def test_ends_are_asked_for_at_the_pace_too_and_take_as_long_as_they_go_on(cloud: Connection, http: rm.Mocker) -> None:
    bad, times = Bad(http, get=lambda _number, now: LOST if 20 < now < 320 else None), list[float]()
    bad.troubles["delete"] = lambda _number, now: times.append(now)
    assert remove(cloud, http, bad, *[f"s{number}" for number in range(40)], deadline=400) == 40
    assert len(times) == 40
    assert times[7] - times[0] >= (8 - 1.375) / 1.5 - 1e-3
