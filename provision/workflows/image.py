"""The story of an image: from a VirtualBox box to a build."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provision.core.course import Course
from provision.core.steps import BAKE, CONVERT, SHRINK, STEPS, Decision, Kept, plan_steps
from provision.core.variables import role_variables
from provision.errors import InvalidInputError, PreflightError, ProvisionError
from provision.guests.emulator import PROGRAMS as MACHINE_PROGRAMS
from provision.paths import cache_home
from provision.process import find_program
from provision.progress import Progress
from provision.workflows.baking import TREE, TREE_PROGRAMS, where_to_bake
from provision.workflows.boxes import box_place, ensure_box
from provision.workflows.buildlog import LOG, logged
from provision.workflows.builds import Build, finished_builds, made_of, made_steps, sha256_of
from provision.workflows.certificates import certificate_variables
from provision.workflows.checkpoints import kept_steps, working
from provision.workflows.convert import GIB
from provision.workflows.courses import read_course
from provision.workflows.making import Order, bake_disk, convert, course_inputs, finish

FREE = 10 * GIB  # bytes that a build may need beside what it leaves; each step says what it needs itself

# The programs that we run, and the Debian package of each.
DISK_PROGRAMS = {
    "sfdisk": "fdisk",
    "blkid": "util-linux",
    "resize2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "apt-config": "apt",
}
BUILD_PROGRAMS = DISK_PROGRAMS | TREE_PROGRAMS
BOX_PROGRAMS = BUILD_PROGRAMS | {"mmdebstrap": "mmdebstrap"}
RUN = {CONVERT: convert, BAKE: bake_disk, SHRINK: finish}


@dataclass(frozen=True)
class Wish:
    """How a build is wanted: from another `box`, baked in a `tree` or a `machine`, run again from the step `start`.

    `verify` says whether the image is proved at the end.
    """

    box: Path | None = None
    bake_in: str | None = None
    start: str | None = None
    verify: bool = True


def build_image(name: str, progress: Progress, wish: Wish | None = None) -> Build:
    """Build the image of the course `name`; it goes on after the last step that is done of the same inputs.

    Raises PreflightError before anything is done if this computer cannot do it. Whatever stops it, finished builds
    stay as they are, and what is done of this one is taken up by the next run.
    """
    wish = wish or Wish()
    course, place = read_course(name)
    variables = _told(course, place)
    makes_box = not wish.box and course.box.build is not None and not box_place(course, place.parent).exists()
    mounts = where_to_bake(wish.bake_in) == TREE
    check_computer(_programs(mounts=mounts, makes_box=makes_box), root=mounts or makes_box)
    with working(course.name, progress) as work, _log(work, progress) as told, _room(work):
        source = wish.box or ensure_box(course, place.parent, told)
        sha256 = _sum(source, told)
        inputs = course_inputs(course, variables, sha256, wish.bake_in)
        order = Order(course, source, sha256, work, variables, inputs, wish.bake_in)
        return _run(order, plan_steps(inputs, _kept(course), wish.start), told, verify=wish.verify)


def plan_build(name: str, progress: Progress, wish: Wish | None = None) -> tuple[Decision, ...]:
    """What `build_image` would do. Nothing is changed."""
    wish = wish or Wish()
    course, place = read_course(name)
    source = wish.box or box_place(course, place.parent)
    if not source.exists() and not wish.box and course.box.build:
        return tuple(Decision(step, True, f"the box is to be made by {course.box.build} first") for step in STEPS)
    inputs = course_inputs(course, _told(course, place), _sum(source, progress), wish.bake_in)
    return plan_steps(inputs, _kept(course), wish.start)


def _told(course: Course, place: Path) -> dict[str, object]:
    """What the roles are told: of course.toml, and of the certificate beside it."""
    return {**role_variables(course), **certificate_variables(course, place.parent, datetime.now(UTC))}


def _run(order: Order, decisions: Sequence[Decision], progress: Progress, *, verify: bool) -> Build:
    """Do the steps that are to be done; the build that they end in."""
    if not any(each.runs for each in decisions):
        progress.say(f"Nothing has changed: the build of {order.course.name} is up to date.")
    for each in decisions:
        if each.runs and each.step in RUN:
            progress.say(f"Step {each.step}: {each.why}.")
            RUN[each.step](order, progress)
    build = _made(order)
    if decisions[-1].runs and verify and os.geteuid() == 0:
        progress.say(f"Step {decisions[-1].step}: {decisions[-1].why}.")
        _verify(build, order.course, progress)
    elif decisions[-1].runs:
        progress.say(f"Next: provision image verify {order.course.name}, as root; without it nothing is published.")
    return _made(order)


def _made(order: Order) -> Build:
    """The newest build of these inputs."""
    builds = [each for each in finished_builds(order.course.name) if made_of(each) == order.inputs_of(SHRINK)]
    return max(builds, key=lambda build: build.manifest.created)


def _verify(build: Build, course: Course, progress: Progress) -> None:
    """Prove the image. Raises ProvisionError if it does not pass; the build is kept, but not published as it is."""
    from provision.workflows.verify import Target, verify

    report = verify(Target(build.image, build.manifest.disk_format, course, build), progress)
    failed = [proof for proof in report.proofs if proof.failure]
    if not report.passed:
        listed = "".join(f"\n  {proof.group}: {proof.name}: {proof.failure}" for proof in failed)
        raise ProvisionError(
            f"Build {build.manifest.build} did not pass its verification: {len(failed)} proofs failed.{listed}",
            hint="Correct the box or course.toml, and build again. It is kept, and is not published as it is.",
        )


def _kept(course: Course) -> tuple[Kept, ...]:
    return (*kept_steps(course.name), *made_steps(finished_builds(course.name)))


def _sum(source: Path, progress: Progress) -> str:
    if not source.is_file():
        raise InvalidInputError(f"There is no box {source}.")
    with progress.phase("Reading the box") as phase:
        found = sha256_of(source)
        phase.result(f"sha256 {found[:12]}")
    return found


@contextmanager
def _log(work: Path, progress: Progress) -> Iterator[Progress]:
    """The progress that goes into the build's log, too; when something stops it, the person is told where that is."""
    if (work / LOG).exists() and (work / LOG).stat().st_nlink > 1:
        (work / LOG).unlink()  # it is that of a finished build
    with logged(work / LOG, progress) as told:
        try:
            yield told
        except Exception:
            progress.say(f"The log is {work / LOG}.")
            raise


@contextmanager
def _room(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise PreflightError(
            f"This computer's disk is full: {shutil.disk_usage(work).free >> 20} MiB are left at {work}.",
            hint="Make room, or name another place with XDG_CACHE_HOME, and run the same command again.",
        ) from exc


def _programs(*, mounts: bool, makes_box: bool) -> dict[str, str]:
    """What is run for such a build."""
    return DISK_PROGRAMS | (TREE_PROGRAMS if mounts else MACHINE_PROGRAMS) | (BOX_PROGRAMS if makes_box else {})


def check_computer(programs: dict[str, str], *, root: bool = True, room: int = 0) -> None:
    """Raise PreflightError with what is missing here: programs, root, `room` in bytes."""
    check_programs(programs)
    if root and os.geteuid() != 0:
        raise PreflightError(
            "Building an image like that needs root: it mounts the box's disk and runs programs in it.",
            hint="Run the same command with sudo, or bake in a machine: --bake-in machine.",
        )
    home = cache_home()
    home.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(home).free) < room:
        raise PreflightError(
            f"A build needs {room // GIB} GiB of room in {home}; there are {free / GIB:.1f}.",
            hint="Make room, or name another place with XDG_CACHE_HOME.",
        )


def check_programs(programs: dict[str, str]) -> None:
    """Raise PreflightError with the Debian packages of those programs that are not installed."""
    missing = sorted({package for program, package in programs.items() if not find_program(program)})
    if missing:
        raise PreflightError(f"Not installed here: {', '.join(missing)}.", hint=f"apt-get install {' '.join(missing)}")
