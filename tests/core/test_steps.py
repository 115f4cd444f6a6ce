"""Which steps of a build run, as a table: inputs and what is kept in, decisions out."""

from collections.abc import Sequence

import pytest

from provision.core.steps import STEPS, Inputs, Kept, changed, inputs_of, key_of, plan_steps

NOW: Inputs = {"convert": {"box": "1"}, "bake": {"role jupyter": "1", "role nginx": "1"}, "shrink": {"machine": "1"}}
OTHER_BOX: Inputs = {**NOW, "convert": {"box": "2"}}
OTHER_ROLE: Inputs = {**NOW, "bake": {"role jupyter": "2", "role nginx": "1"}}
OTHER_MACHINE: Inputs = {**NOW, "shrink": {"machine": "2"}}
UNCHANGED = "its inputs have not changed"


def kept(*steps: str, inputs: Inputs = NOW, when: str = "1") -> list[Kept]:
    return [Kept(step, inputs_of(step, inputs), when) for step in steps]


CASES: dict[str, tuple[list[Kept], str | None, list[str]]] = {
    "nothing is there": ([], None, ["convert", "bake", "shrink", "verify"]),
    "all is done": (kept(*STEPS), None, []),
    "the bake failed": (kept("convert"), None, ["bake", "shrink", "verify"]),
    "the verification failed": (kept("shrink"), None, ["verify"]),
    "only the last checkpoint was not pruned": (kept("bake"), None, ["shrink", "verify"]),
    "another box": (kept(*STEPS, inputs=OTHER_BOX), None, ["convert", "bake", "shrink", "verify"]),
    "another role": (kept(*STEPS, inputs=OTHER_ROLE), None, ["bake", "shrink", "verify"]),
    "a larger machine": (kept(*STEPS, inputs=OTHER_MACHINE), None, ["shrink", "verify"]),
    "two of each": (kept(*STEPS, inputs=OTHER_ROLE) + kept("convert", "bake"), None, ["shrink", "verify"]),
    "once more from the bake": (kept(*STEPS), "bake", ["bake", "shrink", "verify"]),
    "from the bake, without what it needs": (kept("shrink"), "bake", ["convert", "bake", "shrink", "verify"]),
    "only the proof": (kept(*STEPS), "verify", ["verify"]),
    "all of it": (kept(*STEPS), "convert", ["convert", "bake", "shrink", "verify"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_runs(case: str) -> None:
    there, start, runs = CASES[case]
    decisions = plan_steps(NOW, there, start)
    assert [each.step for each in decisions] == list(STEPS)
    assert [each.step for each in decisions if each.runs] == runs
    assert all(each.why == UNCHANGED for each in decisions if not each.runs)


@pytest.mark.parametrize(
    ("there", "start", "step", "why"),
    [
        ([], None, "convert", "its result is not there"),
        ([], None, "bake", "it follows convert"),
        (kept("convert"), None, "bake", "its result is not there"),
        (kept(*STEPS, inputs=OTHER_BOX), None, "convert", "changed: box"),
        (kept(*STEPS, inputs=OTHER_ROLE), None, "bake", "changed: role jupyter"),
        # The newest is what a person remembers.
        (kept("bake", inputs=OTHER_BOX, when="2") + kept("bake", inputs=OTHER_ROLE), None, "bake", "changed: box"),
        (kept(*STEPS), "bake", "bake", "it was asked for"),
        (kept(*STEPS), "bake", "shrink", "it follows bake"),
    ],
)
def test_why(there: Sequence[Kept], start: str | None, step: str, why: str) -> None:
    assert {each.step: each.why for each in plan_steps(NOW, there, start)}[step] == why


def test_a_key_is_that_of_the_inputs_alone() -> None:
    one, same = {"box": "1", "role": "2"}, {"role": "2", "box": "1"}
    assert key_of(one) == key_of(same)
    keys = {key_of(each) for each in (one, {"box": "1"}, {"box": "2", "role": "1"}, {"box": "1", "rol": "e2"}, {})}
    assert len(keys) == 5


def test_what_changed_is_named() -> None:
    assert changed({"a": "1", "b": "1", "gone": "1"}, {"a": "1", "b": "2", "new": "1"}) == ("b", "gone", "new")
    assert changed({"a": "1"}, {"a": "1"}) == ()
