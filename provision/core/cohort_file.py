"""Reading cohort.toml: what its models cannot say of it."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from provision.core.cohort import Cohort
from provision.core.toml_file import parse_file
from provision.core.toml_lines import Path

# What the models know already and no launch does yet, each with what to write until then.
NOT_YET = {("cloud", "tenancy", "project per student"): 'write "one project"'}


def parse_cohort(text: str, place: str) -> Cohort:
    """The cohort that `text` describes; `place` names it in messages. Raises InvalidInputError with every problem."""
    return parse_file(text, place, Cohort, _conflicts)


def _conflicts(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What is wrong though each key is right by itself; `data` may be wrong otherwise, too."""
    cohort = _table(data, "cohort")
    start, end = _day(cohort.get("start")), _day(cohort.get("end"))
    if start and end and end < start:
        yield ("cohort", "end"), f"{end} is before the start, {start}"
    for (table, key, value), instead in NOT_YET.items():
        if _table(data, table).get(key) == value:
            yield (table, key), f'"{value}" is not there yet: {instead} for now'


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    held = data.get(name)
    return held if isinstance(held, dict) else {}


def _day(value: object) -> date | None:
    return value if isinstance(value, date) and not isinstance(value, datetime) else None
