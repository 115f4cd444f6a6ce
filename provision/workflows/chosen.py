"""Whose machine is meant, where a person leaves out what goes without saying."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.errors import InvalidInputError, NotFoundError
from provision.workflows.handouts import read_handouts
from provision.workflows.orders import FILE, CohortFile, read_cohort, read_roster

SHOWN = 8  # students that a message names


@dataclass(frozen=True)
class Chosen:
    """A student of a cohort."""

    file: CohortFile
    student: str


def choose(words: Sequence[str], folder: Path | None = None) -> Chosen:
    """The machine that [COHORT] [STUDENT] name.

    Without COHORT it is this folder's, without STUDENT the only one. Raises InvalidInputError where it is not clear.
    """
    if len(words) > 1:
        return Chosen(read_cohort(words[0], folder), words[1])
    word = words[0] if words else None
    if word is None or not _is_cohort(word):
        return _here(word, folder)
    if Path(FILE).is_file() and word in _students(read_cohort(".", folder)):
        raise InvalidInputError(
            f"{word!r} is both a cohort and a student of the one in this folder.",
            hint=f"Name both: {word} STUDENT, or . {word}",
        )
    return _only(read_cohort(word, folder))


def _is_cohort(word: str) -> bool:
    return (Path(word) / FILE).is_file() or Path(word).is_file()


def _here(student: str | None, folder: Path | None) -> Chosen:
    """The student, or the only one, of the cohort of this folder."""
    if not Path(FILE).is_file():
        named = f"{student!r} is no cohort, and there" if student else "There"
        raise NotFoundError(
            f"{named} is no {FILE} in this folder.",
            hint="Name cohort and student, such as: provision status tm351-26J z9000001",
        )
    file = read_cohort(".", folder)
    return Chosen(file, student) if student else _only(file)


def _only(file: CohortFile) -> Chosen:
    students = _students(file)
    if len(students) == 1:
        return Chosen(file, students[0])
    some = ", ".join(students[:SHOWN]) + (", ..." if len(students) > SHOWN else "")
    raise InvalidInputError(
        f"{file.cohort} has {len(students)} students{f' ({some})' if some else ''}: which of them?",
        hint="Name one behind the cohort: COHORT STUDENT",
    )


def _students(file: CohortFile) -> list[str]:
    """Those of the roster, and without one those of the handouts, which is all that a student may have."""
    roster = file.place.parent / file.said.cohort.roster
    if roster.is_file():
        return [student.id for student in read_roster(roster, file.said.columns)]
    return list(read_handouts(file.folder))
