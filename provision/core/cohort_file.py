"""Reading cohort.toml: what its models cannot say of it. And moving its last day."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from provision.core.cohort import Cohort
from provision.core.toml_file import parse_file
from provision.core.toml_lines import Path, toml_lines
from provision.errors import InvalidInputError

_DAY = re.compile(r"""(\bend["']?\s*=\s*)\d{4}-\d\d-\d\d\b""")


def parse_cohort(text: str, place: str) -> Cohort:
    """The cohort that `text` describes; `place` names it in messages. Raises InvalidInputError with every problem."""
    return parse_file(text, place, Cohort, _conflicts)


def _conflicts(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What is wrong though each key is right by itself; `data` may be wrong otherwise, too."""
    cohort = _table(data, "cohort")
    start, end = _day(cohort.get("start")), _day(cohort.get("end"))
    if start and end and end < start:
        yield ("cohort", "end"), f"{end} is before the start, {start}"
    if _table(data, "cloud").get("tenancy") == "project per student":
        if _table(data, "network").get("shape") == "shared":
            yield ("network", "shape"), '"shared" is for one project: with a project per student each has a network'
        if cohort.get("privacy") and _table(data, "projects").get("users") != "none":
            yield ("cohort", "privacy"), 'students who are users of the cloud are known to it: write users = "none"'


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    held = data.get(name)
    return held if isinstance(held, dict) else {}


def _day(value: object) -> date | None:
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


def move_end(text: str, end: date) -> str:
    """The cohort.toml `text` with another last day, and otherwise as the person wrote it.

    Raises InvalidInputError where the day cannot be put there without writing the file anew.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(mark)
    wanted = _data(body)
    _table(wanted, "cohort")["end"] = end
    moved = _with_end(body, toml_lines(body), end)
    try:
        if _data(moved) == wanted:
            return mark + moved
    except tomllib.TOMLDecodeError:
        pass
    raise InvalidInputError(
        "The last day cannot be changed without writing cohort.toml anew, which is yours.",
        hint=f"Write it yourself, under [cohort]: end = {end}",
    )


def _data(text: str) -> dict[str, Any]:
    return tomllib.loads(text.replace("\r\n", "\n"))


def _with_end(text: str, places: Mapping[Path, int], end: date) -> str:
    """With the day on the line where it is, or on one of its own behind the presentation's."""
    lines = text.split("\n")
    if place := places.get(("cohort", "end")):
        lines[place - 1] = _DAY.sub(rf"\g<1>{end}", lines[place - 1], count=1)
    else:
        place = places[("cohort", "presentation")]
        lines.insert(place, f"end = {end}" + ("\r" if lines[place - 1].endswith("\r") else ""))
    return "\n".join(lines)
