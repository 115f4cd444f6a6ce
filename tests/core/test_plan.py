"""What is to be done, as a table: students and stacks in, actions out."""

import pytest

from provision.core.plan import Action, Create, Keep, Leave, Remove, Replace, Stack, Wait, plan_cohort


def stack(student: str, status: str = "CREATE_COMPLETE", *, number: int = 1) -> Stack:
    return Stack(f"id-{number}", f"demo-26J-{student}", student, status, "", f"2026-11-22T10:00:0{number}Z")


DONE, GOING, FAILED = stack("a"), stack("a", "CREATE_IN_PROGRESS"), stack("a", "CREATE_FAILED")


@pytest.mark.parametrize(
    ("students", "stacks", "actions"),
    [
        ([], [], []),
        (["a"], [], [Create("a")]),
        (["a"], [DONE], [Keep("a", DONE)]),  # nothing to do
        (["a"], [GOING], [Wait("a", GOING)]),
        (["a"], [FAILED], [Replace("a", FAILED)]),
        (["a"], [stack("a", "DELETE_FAILED")], [Replace("a", stack("a", "DELETE_FAILED"))]),
        (["a"], [stack("a", "DELETE_IN_PROGRESS")], [Replace("a", stack("a", "DELETE_IN_PROGRESS"))]),
        (["a"], [stack("a", "UPDATE_COMPLETE")], [Keep("a", stack("a", "UPDATE_COMPLETE"))]),
        (["a"], [stack("a", "UPDATE_FAILED")], [Keep("a", stack("a", "UPDATE_FAILED"))]),
        (["a"], [stack("a", "SUSPEND_IN_PROGRESS")], [Wait("a", stack("a", "SUSPEND_IN_PROGRESS"))]),
        (["b", "a"], [DONE], [Create("b"), Keep("a", DONE)]),  # in the roster's order
        ([], [DONE], [Leave("a", DONE)]),
        (["b"], [DONE], [Create("b"), Leave("a", DONE)]),
        # Two stacks of one name: the older stays, in whichever order they are listed ...
        (["a"], [stack("a", number=2), DONE], [Keep("a", DONE), Remove("a", stack("a", number=2))]),
        (["a"], [GOING, stack("a", number=2)], [Wait("a", GOING), Remove("a", stack("a", number=2))]),
        # ... unless it failed.
        (["a"], [FAILED, stack("a", number=2)], [Keep("a", stack("a", number=2)), Remove("a", FAILED)]),
    ],
)
def test_plan(students: list[str], stacks: list[Stack], actions: list[Action]) -> None:
    assert plan_cohort(students, stacks) == tuple(actions)
