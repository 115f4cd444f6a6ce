"""What has to be done of a build: each step has inputs, and is done again when one of them changed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONVERT, BAKE, SHRINK, VERIFY = STEPS = ("convert", "bake", "shrink", "verify")

Inputs = Mapping[str, Mapping[str, str]]  # of each step: what goes into it besides the step before, by name


@dataclass(frozen=True)
class Kept:
    """The result of a step that is still there: what went into it and all before it; the later `when`, the newer."""

    step: str
    inputs: Mapping[str, str]
    when: str


@dataclass(frozen=True)
class Decision:
    """Whether a step runs, and in a few words why."""

    step: str
    runs: bool
    why: str


def inputs_of(step: str, inputs: Inputs) -> dict[str, str]:
    """All that goes into a step and those before it."""
    return {
        name: value for each in STEPS[: STEPS.index(step) + 1] for name, value in sorted(inputs.get(each, {}).items())
    }


def key_of(inputs: Mapping[str, str]) -> str:
    """12 hex digits that change with any of the inputs, and not with their order."""
    return hashlib.sha256(json.dumps(sorted(inputs.items())).encode()).hexdigest()[:12]


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """The names of those inputs that are not what they were."""
    return tuple(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))


def plan_steps(inputs: Inputs, kept: Sequence[Kept], start: str | None = None) -> tuple[Decision, ...]:
    """Which steps run. All up to the last one whose result is there for these inputs are left out.

    `start` names a step that runs in any case, as do those behind it.
    """
    allowed = STEPS[: STEPS.index(start)] if start else STEPS
    done = [step for step in allowed if _found(step, inputs, kept)]
    last = STEPS.index(done[-1]) if done else -1
    return tuple(
        Decision(step, False, "its inputs have not changed")
        if place <= last
        else Decision(step, True, _why(step, inputs, kept, start, runs_before=place > last + 1))
        for place, step in enumerate(STEPS)
    )


def _found(step: str, inputs: Inputs, kept: Sequence[Kept]) -> bool:
    key = key_of(inputs_of(step, inputs))
    return any(each.step == step and key_of(each.inputs) == key for each in kept)


def _why(step: str, inputs: Inputs, kept: Sequence[Kept], start: str | None, *, runs_before: bool) -> str:
    if step == start:
        return "it was asked for"
    older = [each for each in kept if each.step == step]
    if older and (names := changed(max(older, key=lambda each: each.when).inputs, inputs_of(step, inputs))):
        return f"changed: {', '.join(names)}"
    if runs_before:
        return f"it follows {STEPS[STEPS.index(step) - 1]}"
    return "its result is not there"
