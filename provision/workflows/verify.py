"""The story of a verification: which image, what it takes here, what was proved, and where that is written down."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from provision.core.course import Course
from provision.core.report import Report, junit, verified
from provision.disks.resize.mount import release
from provision.disks.source import opened
from provision.errors import InvalidInputError, PreflightError
from provision.guests import configdrive, emulator
from provision.locks import exclusive
from provision.paths import cache_home
from provision.progress import Progress
from provision.workflows.accelerator import ensure_known
from provision.workflows.builds import Build, find_finished, newest_build, write_manifest
from provision.workflows.courses import read_course
from provision.workflows.image import BUILD_PROGRAMS, check_programs
from provision.workflows.proving import STUDENT, UNCLAIMED, Trial, prove_image

JUNIT = "verify.xml"
PROGRAMS = emulator.PROGRAMS | configdrive.PROGRAMS | BUILD_PROGRAMS
PATIENCE = 900.0  # seconds that a machine may take to boot, unless said otherwise
FORMS = ("qcow2", "raw")


@dataclass(frozen=True)
class Target:
    """What is verified: a disk and its format, its course, and the build that it is of, if it is of one."""

    disk: Path
    form: str
    course: Course
    build: Build | None

    @property
    def name(self) -> str:
        """What it is called in the report."""
        return f"{self.course.name}-{self.build.manifest.build}" if self.build else self.disk.name


def verify_image(
    name: str,
    progress: Progress,
    *,
    course: str | None = None,
    junit_file: Path | None = None,
    consoles: Path | None = None,
    patience: float = PATIENCE,
) -> Report:
    """Prove the image `name` (see `find_target`) and write down what came of it.

    The report goes into `junit_file` and, if it is a build's image, beside its manifest and into it. `consoles` is a
    folder that gets what the machines said. `patience` in seconds is what a machine may take to boot.
    """
    check_here()
    target = find_target(name, course)
    return verify(target, progress, junit_file=junit_file, consoles=consoles, patience=patience)


def verify(
    target: Target,
    progress: Progress,
    *,
    junit_file: Path | None = None,
    consoles: Path | None = None,
    patience: float = PATIENCE,
) -> Report:
    """`verify_image` for a target that was found already, on a computer that was checked."""
    when, started = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    kvm = ensure_known(target.disk, progress)
    with _work_folder(progress) as work:
        try:
            proofs = prove_image(Trial(target.disk, target.form, target.course, work, kvm, patience), progress)
        finally:
            if consoles:
                _keep_consoles(work, consoles)
    report = Report(target.name, when, time.monotonic() - started, proofs)
    _write_down(report, target.build, junit_file)
    return report


def check_here() -> None:
    """Raise PreflightError if a verification cannot run on this computer."""
    check_programs(PROGRAMS)
    if os.geteuid() != 0:
        raise PreflightError(
            "Verifying an image needs root: its disk is mounted to run Ansible on it a second time.",
            hint="Run the same command with sudo.",
        )


def find_target(name: str, course: str | None) -> Target:
    """The image that is meant: a build's id, a course (its newest build), or the path of a disk with its `course`.

    Raises NotFoundError or InvalidInputError if there is none that can be verified.
    """
    path = Path(name)
    if path.is_file() and path.suffix != ".toml":
        return _file_target(path, course)
    if build := _build_of(name):
        found, _ = read_course(course or build.manifest.course)
    else:
        found, _ = read_course(name)
        build = newest_build(found.name)
    return Target(build.image, build.manifest.disk_format, found, build)


def _file_target(path: Path, course: str | None) -> Target:
    if course is None:
        raise InvalidInputError(f"Which course is {path} of?", hint="Say it with --course: its name or course.toml.")
    with opened(path) as source:
        form, container = source.disk.format, source.container
    if form not in FORMS or container != "file":
        raise InvalidInputError(
            f"{path} is a {container if container != 'file' else form}, and no image that could be published.",
            hint="Build an image from it: provision image build.",
        )
    return Target(path, form, read_course(course)[0], None)


def _build_of(name: str) -> Build | None:
    """The build with that id, whichever course it is of."""
    folders = (cache_home() / "builds").glob(f"*/{name}") if name.isalnum() else ()
    found = (find_finished(folder.parent.name, folder.name) for folder in folders)
    return next((build for build in found if build), None)


@contextmanager
def _work_folder(progress: Progress) -> Iterator[Path]:
    """A folder for one verification at a time; what a killed one left mounted in its own is let go of first."""
    home = cache_home()
    with exclusive(home / "verify.lock", progress, "Waiting for another verification to finish"):
        for stale in home.glob(".verify-*"):
            release(stale)
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix=".verify-", dir=home, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def _keep_consoles(work: Path, consoles: Path) -> None:
    consoles.mkdir(parents=True, exist_ok=True)
    for machine in (UNCLAIMED, STUDENT):
        if (log := work / machine / "console.log").exists():
            shutil.copyfile(log, consoles / f"{machine}.log")


def _write_down(report: Report, build: Build | None, junit_file: Path | None) -> None:
    words = junit(report)
    if build:
        (build.folder / JUNIT).write_text(words)
        write_manifest(build.folder, replace(build.manifest, verified=verified(report)))
    if junit_file:
        junit_file.parent.mkdir(parents=True, exist_ok=True)
        junit_file.write_text(words)
