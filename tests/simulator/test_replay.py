"""The simulator is compared with what a real lab answered to the same calls (recorded/, written by record.py)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from .faults import Build, Fate, Setup
from .record import FOLDER
from .server import Simulator
from .shapes import differences
from .staff import Operator
from .tour import BROKEN, Answer, Recorded, as_json, from_json, tour

FILES = sorted(FOLDER.glob("*.json"))
# What Neutron says of an address outside of the subnet, which is how the tour's second stack fails.
WRONG = Fate(BROKEN, "OS::Neutron::Port", reason="BadRequest: resources.{resource}: Invalid input for operation.")


@pytest.fixture
def simulated(simulator: Simulator, operator: Operator) -> Recorded:
    simulator.meet(Setup(build=Build(5, 5, 5), fates=(WRONG,)))
    return tour(operator.connect(), simulator.clock)


def test_the_simulator_answers_as_the_real_lab_does(simulated: Recorded) -> None:
    assert FILES
    for file in FILES:
        assert differences(from_json(file.read_text()), simulated) == []


def test_a_tour_sees_all_and_leaves_nothing(simulated: Recorded, simulator: Simulator) -> None:
    assert not any(simulator.cloud.used.values())
    asked = {step: {each.status for each in answers} for step, answers in simulated.items()}
    expected = {"a name that is taken": 409, "a template that is none": 400, "a stack that is not there": 404}
    assert dict.fromkeys(asked, 200) | expected | {
        "signing in": 201, "the caller": None, "a new stack": 201, "a stack that will fail": 201,
        "the end of stacks": 204, "the end of what is not there": 404,
    } == {step: max(statuses - {300}, default=None) for step, statuses in asked.items()}  # fmt: skip
    failed = simulated["why it failed"][-1].body["resources"]
    assert "CREATE_FAILED" in {each["resource_status"] for each in failed}


def test_what_is_written_down_names_no_place_and_no_secret(simulated: Recorded, simulator: Simulator) -> None:
    text = as_json(simulated)
    assert from_json(text) == simulated
    for secret in (simulator.url.removeprefix("http://"), "127.0.0.1", "secret", *simulator.cloud.tokens):
        assert secret not in text


def test_it_is_like_itself(simulated: Recorded) -> None:
    assert differences(simulated, simulated) == []


@pytest.mark.parametrize(
    ("step", "change", "words"),
    [
        ("a new stack", lambda answer: replace(answer, status=202), "is not what the simulator answers"),
        ("a new stack", lambda answer: replace(answer, body={"stack": {"id": "x"}}), "really no stack.links"),
        ("limits", lambda answer: replace(answer, headers={}), "header Content-Type is in one answer alone"),
        (
            "quotas",
            lambda answer: replace(answer, body={"quota": {"port": 10}}),
            "there is really no quota.router.",
        ),
        ("builds", lambda answer: replace(answer, body={"images": [{"id": 7}]}), "images.[].id is text, but"),
    ],
)
def test_what_differs_is_said(simulated: Recorded, step: str, change: Callable[[Answer], Answer], words: str) -> None:
    real = {**simulated, step: [*simulated[step][:-1], change(simulated[step][-1])]}
    assert words in "\n".join(differences(real, simulated))
