"""When a cohort ends: nothing is deleted before that day, and the day is moved in its cohort.toml, which says it."""

import os
import shutil
from datetime import date
from pathlib import Path

from provision.core.cohort_file import move_end, parse_cohort
from provision.errors import PreflightError
from provision.workflows.courses import read_text
from provision.workflows.orders import CohortFile


def check_ended(file: CohortFile, today: date) -> None:
    """Raise PreflightError while machines are still needed: until the last day that cohort.toml states is over."""
    end = file.said.cohort.end
    if end is not None and today <= end:
        raise PreflightError(
            f"{file.cohort} is needed until {end}, as {file.place} says. Nothing was deleted.",
            hint="Delete it after that day, or all the same with --before-end. To save cost until then: provision "
            "cohort suspend COHORT",
        )


def extend(file: CohortFile, end: date) -> None:
    """Make `end` the last day of a cohort: in its cohort.toml, and nowhere else."""
    moved = move_end(read_text(file.place), end)
    parse_cohort(moved, str(file.place))  # an end before the start, say
    utf16 = file.place.read_bytes().startswith((b"\xff\xfe", b"\xfe\xff"))
    _replace(file.place.resolve(), moved.encode("utf-16" if utf16 else "utf-8"))


def _replace(place: Path, data: bytes) -> None:
    """Write a file, complete or not at all, with the mode that it has."""
    new = place.with_name(f".{place.name}.new.{os.getpid()}")
    new.write_bytes(data)
    shutil.copymode(place, new)
    new.replace(place)
