"""A new course or cohort: its file, filled with what is known."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from provision.core.cohort import Cohort
from provision.core.cohort_file import parse_cohort
from provision.core.course import Course
from provision.core.course_file import parse_course
from provision.core.naming import cohort_name
from provision.core.toml_draft import Filled, draft_file
from provision.core.values import BOX_FOLDER, LOGIN, RESERVED_PATHS, SYSTEM_USERS, TAKEN_PORTS
from provision.errors import InvalidInputError, ProvisionError
from provision.guests.offers import Offers
from provision.progress import Progress
from provision.workflows.inspect import Inspection, inspect_image

GIB = 2**30
ROOM = 4 * GIB  # bytes for a student's own files and the packages of the bake


def draft(name: str, title: str | None, box: Path | None, progress: Progress) -> str:
    """The text of a new course.toml, filled from `box`. Raises InvalidInputError if the name or title cannot be one."""
    inspected = inspect_image(box, progress) if box else None
    filled: dict[str, Mapping[str, object] | list[Mapping[str, object]]] = {
        "course": {"name": name, "title": name if title is None else title},
    }
    heading = f"What the machine of {name} is made from and what it needs."
    if box and inspected:
        filled |= {"box": {"file": box.name}, **_found(name, inspected)}
        system = inspected.system.name if inspected.system else "an unknown system"
        heading += f" Filled from {box.name}: {system}, {used(inspected) / GIB:.1f} GiB used."
    text = draft_file(Course, filled, _clean(heading))
    parse_course(text, "The new course.toml")
    return text


def _clean(text: str) -> str:
    """What a disk says of itself must not end a comment."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def used(inspected: Inspection) -> int:
    """The bytes that the disk's filesystems use."""
    return sum(each.filesystem.used or 0 for each in inspected.filesystems)


def _found(name: str, inspected: Inspection) -> Filled:
    filled: dict[str, Mapping[str, object] | list[Mapping[str, object]]] = {
        "machine": {"disk_gb": -(-(used(inspected) + ROOM) // GIB)},
    }
    offers = inspected.offers
    if offers is None:
        return filled
    filled["user"] = _user(offers)
    filled |= {name: {} for name in ("nbdime", "openrefine") if getattr(offers, name)}
    if offers.postgresql:
        filled["postgresql"] = {"databases": [name]}
    if applications := _applications(offers):
        filled["application"] = applications
    return filled


def _user(offers: Offers) -> dict[str, object]:
    """The students' account, as far as course.toml can say it."""
    names = {"name": offers.user, "group": offers.group}
    kept = {key: name for key, name in names.items() if re.fullmatch(LOGIN, name) and name not in SYSTEM_USERS}
    folder = {"content": offers.content} if re.fullmatch(BOX_FOLDER, offers.content) else {}
    return {**kept, **folder}


def _applications(offers: Offers) -> list[Mapping[str, object]]:
    """The box's own services with pages, as far as their names and ports can be kept."""
    made: dict[str, Mapping[str, object]] = {}
    ports = set(TAKEN_PORTS)
    for each in offers.applications:
        name = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in each.name.lower()).strip("-")[:32]
        if each.port not in ports and name[:1].isalpha() and name not in (*RESERVED_PATHS, *made):
            made[name] = {"name": name, "title": name, "port": each.port}
            ports.add(each.port or 0)
    return list(made.values())


def new_course_file(name: str) -> Path:
    """Where a new course's file goes: into ./images if there is one. Raises InvalidInputError if it is there."""
    shelf = Path("images")
    return _new((shelf if shelf.is_dir() else Path()) / name / "course.toml")


def draft_cohort(filled: Filled) -> str:
    """The text of a new cohort.toml that says `filled`. Raises InvalidInputError if a value cannot be one."""
    text = draft_file(Cohort, filled, "A class, and where its machines are made. Run: provision cohort plan COHORT")
    parse_cohort(text, "The new cohort.toml")
    return text


def new_cohort_file(course: str, presentation: str) -> Path:
    """Where a new cohort's file goes. Raises InvalidInputError if it is there."""
    return _new(Path(cohort_name(course, presentation)) / "cohort.toml")


def _new(place: Path) -> Path:
    if place.exists() or place.is_symlink():
        raise InvalidInputError(f"{place} is there already, and is left as it is.", hint="Edit it, or move it away.")
    return place


def write_new(place: Path, text: str) -> None:
    """Write a file that must not be there yet, complete or not at all."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, place)  # unlike a rename, it never replaces
    except FileExistsError as exc:
        raise InvalidInputError(f"{place} is there already, and is left as it is.") from exc
    except OSError as exc:
        raise ProvisionError(f"{place} cannot be written: {exc.strerror}.") from exc
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
