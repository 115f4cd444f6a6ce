"""The boxes that images are built from: a file of the course's folder, or what its script makes."""

import os
from pathlib import Path

from provision.core.course import Course
from provision.errors import InvalidInputError
from provision.paths import cache_home
from provision.process import follow
from provision.progress import Progress, amount
from provision.workflows.builds import box_key

BOX_SECONDS = 1800.0


def box_place(course: Course, folder: Path) -> Path:
    """Where the box of a course is, or will be: what a script makes is kept until a file of its folder changes."""
    if course.box.file:
        return folder / course.box.file
    return cache_home() / "boxes" / course.name / f"{box_key(folder)}.box"


def ensure_box(course: Course, folder: Path, progress: Progress) -> Path:
    """The box of a course, made if it is not there."""
    box = box_place(course, folder)
    if course.box.file or box.exists():
        return box
    script = folder / str(course.box.build)
    if not script.exists():
        raise InvalidInputError(
            f"{script}, which [box] build names, is not there.", hint="Name the box itself: [box] file, or --box FILE."
        )
    if not os.access(script, os.X_OK):
        raise InvalidInputError(f"{script} is no program that can be run.", hint=f"chmod +x {script}")
    box.parent.mkdir(parents=True, exist_ok=True)
    with progress.phase(f"Making the box of {course.name}") as phase:
        unfinished = box.with_suffix(".new")
        follow([script, unfinished], deadline=BOX_SECONDS, on_line=lambda line: phase.note(line[:60]))
        unfinished.rename(box)
        phase.result(amount(box.stat().st_size))
    return box
