"""Finding and reading what a person wrote: course.toml and the roster."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from provision.core.course import Course
from provision.core.course_file import parse_course
from provision.core.naming import cohort_name
from provision.core.roster import Student, parse_roster
from provision.core.shape import PRIVATE, Shape
from provision.errors import InvalidInputError, NotFoundError
from provision.paths import data_path

T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """A course's presentation for these students: all that a launch is told."""

    course: Course
    cohort: str
    presentation: str
    students: tuple[Student, ...]
    shape: Shape = PRIVATE


def read_course(name: str) -> tuple[Course, Path]:
    """The course `name` (or a path to its folder or file), and its course.toml's place."""
    place = find_course(name)
    return parse_course(_read_text(place), str(place)), place


def find_course(name: str) -> Path:
    """Where a course's file is: here, in ./images, or among those that came with the package."""
    given = Path(name)
    if given.suffix == ".toml":
        places = [given]
    else:
        places = [folder / "course.toml" for folder in (Path("images") / name, data_path("images") / name)]
        if "/" in name:
            places = [given / "course.toml"]
    for place in places:
        if place.is_file():
            return place
    shelves = (Path("images"), data_path("images"))
    there = sorted({path.parent.name for shelf in shelves for path in shelf.glob("*/course.toml")})
    raise NotFoundError(
        f"There is no course {name!r}: no file {' or '.join(map(str, places))}. Courses: {', '.join(there) or 'none'}.",
        hint="Give the course's name, or the path of its course.toml.",
    )


def named_cohort(course: str, presentation: str) -> str:
    """The cohort's name, also when the course's file is not at hand."""
    name = read_course(course)[0].name if "/" in course or course.endswith(".toml") else course
    return cohort_name(name, presentation)


def read_roster(place: Path) -> tuple[Student, ...]:
    """The students of a roster file."""
    return parse_roster(_read_text(place), str(place))


def read_order(course: str, presentation: str, roster: Path) -> Order:
    """Course and roster together. Raises InvalidInputError with the problems of both."""
    problems: list[InvalidInputError] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except InvalidInputError as exc:
            problems.append(exc)
            return None

    found = attempt(lambda: read_course(course)[0])
    students = attempt(lambda: read_roster(roster))
    cohort = attempt(lambda: cohort_name(found.name if found else "course", presentation))
    if found is None or students is None or cohort is None:
        hint = next((problem.hint for problem in problems if problem.hint), None)
        raise InvalidInputError("\n".join(problem.message for problem in problems), hint=hint)
    return Order(found, cohort, presentation, students)


def _read_text(place: Path) -> str:
    try:
        data = place.read_bytes()
    except OSError as exc:
        raise NotFoundError(f"{place} cannot be read: {exc.strerror}.") from exc
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")  # Excel's "Unicode text"
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise InvalidInputError(
            f"{place} is not UTF-8: line {line} holds a byte that cannot be read.",
            hint='Save it again as UTF-8; in Excel: Save as, "CSV UTF-8".',
        ) from exc
