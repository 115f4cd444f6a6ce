"""How a run ended for each student, as a person reads it: a row each, and why some have no ready machine."""

from collections.abc import Iterable, Sequence
from typing import Any

from provision.cli.output import print_rows
from provision.core.outcome import Failed, Outcome, Ready
from provision.errors import StudentsFailedError


def outcome_row(outcome: Outcome, failed: str = "failed") -> dict[str, Any]:
    """A student's row; `failed` is the state of one whose machine is not ready."""
    if isinstance(outcome, Ready):
        return {"student": outcome.student, "state": "ready", "url": outcome.url, "why": ""}
    words = f"{outcome.stage}: {outcome.reason}"
    row = {"stage": outcome.stage, "reason": outcome.reason, "hint": outcome.hint, "why": words}
    return {"student": outcome.student, "state": failed, **row}


def print_outcomes(outcomes: Iterable[Outcome], output: str) -> None:
    """Print who has a ready machine, and raise StudentsFailedError with the reasons of those who have none."""
    outcomes = list(outcomes)
    columns = ("student", "state", "url") + (() if output == "table" else ("stage", "reason", "hint"))
    print_rows([outcome_row(outcome) for outcome in outcomes], output, columns=columns)
    raise_outcomes(outcomes)


def raise_outcomes(outcomes: Iterable[Outcome]) -> None:
    """Exit code 4, with each failure's reason and what to do, if any student has no ready machine."""
    outcomes = list(outcomes)
    raise_failed([each for each in outcomes if isinstance(each, Failed)], len(outcomes))


def raise_failed(failed: Sequence[Failed], total: int, what: str = "are not ready") -> None:
    """Exit code 4, if any of `total` machines `failed`: they are not ready, or what else was wanted."""
    if not failed:
        return
    lines = [f"{len(failed)} of {total} machines {what}:"]
    for outcome in failed:
        lines.append(f"  {outcome.student}: failed at {outcome.stage}: {outcome.reason}")
        lines += [f"    {outcome.hint}"] if outcome.hint else []
    raise StudentsFailedError("\n".join(lines), hint="Run the same command again: what is right is left alone.")
