"""Finding and reading what is ordered for a class: its cohort.toml, the roster that it names, and its course."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from provision.core.cohort import Cohort, Columns
from provision.core.cohort_file import parse_cohort
from provision.core.course import Course
from provision.core.letters import Letter
from provision.core.naming import cohort_name
from provision.core.privacy import Labels
from provision.core.roster import Student, parse_roster
from provision.core.shape import PRIVATE, Shape, check_shape
from provision.core.tenancy import Tenancy
from provision.errors import InvalidInputError, NotFoundError
from provision.workflows.courses import read_course, read_text
from provision.workflows.labels import read_labels
from provision.workflows.letters import read_letter

FILE = "cohort.toml"
S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Choice:
    """What is named to make machines from, by an option or by cohort.toml; None is what the cloud itself suggests.

    `stack_limit` is how many stacks Heat lets the project have, where the operator has told.
    """

    image: str | None = None
    flavor: str | None = None
    network: str | None = None
    stack_limit: int | None = None


@dataclass(frozen=True)
class Order:
    """A course's presentation for these students: all that a launch is told. `labels` is what the cloud calls them.

    `letter` is what each student is given to read, if anything. `tenancy` is there where each has a project.
    """

    course: Course
    cohort: str
    presentation: str
    students: tuple[Student, ...]
    shape: Shape = PRIVATE
    labels: Labels = field(default_factory=Labels)
    choice: Choice = Choice()
    letter: Letter | None = None
    tenancy: Tenancy | None = None


@dataclass(frozen=True)
class CohortFile:
    """A cohort.toml that was read: what it says, its place, its course's name or file, and what is derived from them.

    `folder` is that of its handouts.
    """

    said: Cohort
    place: Path
    course: str
    cohort: str
    folder: Path


def read_cohort(name: str, folder: Path | None = None) -> CohortFile:
    """The cohort.toml `name`, or the one in the folder `name`. Its handouts are beside it, or in `folder`."""
    place = Path(name) / FILE if Path(name).is_dir() else Path(name)
    if not place.is_file():
        raise NotFoundError(
            f"There is no cohort {name!r}: no file {place}.",
            hint="Give the path of a cohort.toml, or of its folder. One is begun by: "
            "provision cohort init COURSE PRESENTATION",
        )
    said = parse_cohort(read_text(place), str(place))
    course = said.cohort.course
    named = course
    if course.endswith(".toml"):
        course = str(place.parent / course)
        named = read_course(course)[0].name
    cohort = cohort_name(named, said.cohort.presentation)
    return CohortFile(said, place, course, cohort, folder or place.parent / "handouts" / cohort)


def read_order(
    file: CohortFile,
    roster: Path | None = None,
    options: Choice = Choice(),
    *,
    template: Path | None = None,
    known: tuple[Student, ...] = (),
) -> Order:
    """What is ordered for the students of the file's roster, or of `roster`, or for those who are `known` without one.

    `options` count more than the file, and a `template` for letters more than its. Raises InvalidInputError with the
    problems of course, roster and the letter's template.
    """
    said = file.said
    place = roster or file.place.parent / said.cohort.roster
    (course, students), letter = _together(
        lambda: _together(lambda: _course(file), lambda: known or read_roster(place, said.columns)),
        lambda: read_letter(said, file.place.parent, template),
    )
    labels = read_labels(said.cohort.privacy, file.folder, [student.id for student in students])
    shape = Shape(said.network.shape, said.network.floating_ip, said.access.web, said.access.ssh)
    check_shape(shape)
    choice, tenancy = _chosen(said, options), _tenancy(said)
    return Order(course, file.cohort, said.cohort.presentation, students, shape, labels, choice, letter, tenancy)


def _chosen(said: Cohort, options: Choice) -> Choice:
    return Choice(
        options.image or said.machine.image,
        options.flavor or said.machine.flavor,
        options.network or said.network.external_network,
        options.stack_limit or said.cloud.stack_limit,
    )


def _tenancy(said: Cohort) -> Tenancy | None:
    if said.cloud.tenancy == "one project":
        return None
    return Tenancy(said.projects.users, said.projects.roles, said.projects.domain)


def read_roster(place: Path, columns: Columns | None = None) -> tuple[Student, ...]:
    """The students of a roster file."""
    return parse_roster(read_text(place), str(place), columns)


def _course(file: CohortFile) -> Course:
    course, place = read_course(file.course)
    if cohort_name(course.name, file.said.cohort.presentation) != file.cohort:
        raise InvalidInputError(
            f"{place} is about {course.name!r}, and {file.place} about {file.course!r}.",
            hint=f'Write course = "{course.name}", or the path of its course.toml.',
        )
    return course


def _together(first: Callable[[], S], second: Callable[[], T]) -> tuple[S, T]:
    """What both make. Raises InvalidInputError with the problems of both."""
    problems: list[InvalidInputError] = []

    def attempt(read: Callable[[], U]) -> U | None:
        try:
            return read()
        except InvalidInputError as exc:
            problems.append(exc)
            return None

    one, other = attempt(first), attempt(second)
    if one is None or other is None:
        hint = next((problem.hint for problem in problems if problem.hint), None)
        raise InvalidInputError("\n".join(problem.message for problem in problems), hint=hint)
    return one, other
