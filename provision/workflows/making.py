"""The steps of a build: convert, bake, shrink. Each works on a copy of what the one before it left."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provision import __version__
from provision.core.course import Course
from provision.core.steps import BAKE, CONVERT, Inputs, inputs_of
from provision.disks.extents import watched
from provision.disks.formats.raw import read_raw
from provision.disks.resize.grow import ensure_free
from provision.disks.resize.shrink import check_shrinkable
from provision.disks.source import opened
from provision.disks.window import opened_file
from provision.disks.writers.qcow2 import Encoding, write_qcow2
from provision.errors import InvalidInputError, PreflightError
from provision.guests import contents
from provision.guests.generalise import GENERALISE
from provision.guests.system import System
from provision.paths import data_path
from provision.progress import Progress, amount
from provision.workflows.baking import CONTENTS, bake
from provision.workflows.buildlog import LOG
from provision.workflows.builds import IMAGE, Manifest, build_folder, sha256_of, sum_of_folder, write_manifest
from provision.workflows.checkpoints import (
    DISK,
    checkpoint,
    complete,
    copy_disk,
    discard,
    keeping,
    make_room,
    unfinished,
    used,
)
from provision.workflows.convert import GIB, HEADROOM, in_bytes, shrunk, write
from provision.workflows.inspect import inspect_image

BAKE_ROOM = 3 * GIB  # bytes: what a bake may need of the box's own disk, which costs nothing until it is used
BAKE_LEAST = GIB  # where the box's filesystem cannot be made larger
REFUSED = ("cannot_be_baked", "old_python")  # what the doctor finds and no bake gets past
_SYSTEM = "system.json"


@dataclass(frozen=True)
class Order:
    """A build that is under way: of which course and box, what the roles are told, and what goes into each step."""

    course: Course
    source: Path
    source_sha256: str
    work: Path
    variables: Mapping[str, object]
    inputs: Inputs
    bake_in: str | None

    def inputs_of(self, step: str) -> dict[str, str]:
        """What goes into a step and those before it."""
        return inputs_of(step, self.inputs)

    def checkpoint(self, step: str) -> Path:
        """Where what a step leaves is kept."""
        return checkpoint(self.work, step, self.inputs_of(step))


def course_inputs(
    course: Course, variables: Mapping[str, object], source_sha256: str, bake_in: str | None
) -> dict[str, dict[str, str]]:
    """What goes into each step of a course's build, by name: sums and settings."""
    roles = sorted(path for path in data_path("roles").iterdir() if path.is_dir())
    told = json.dumps(variables, sort_keys=True)
    machine = course.machine
    return {
        "convert": {"box": source_sha256, "toolkit": __version__},
        "bake": {
            "course.toml": _sum(told),
            "playbook": _sum(data_path("playbooks/bake.yml").read_text()),
            "generalising": _sum(GENERALISE),
            "listing": _sum(Path(contents.__file__).read_text()),
            "baked in": bake_in or "what is possible",
            **{f"role {path.name}": sum_of_folder(path) for path in roles},
        },
        "shrink": {"machine": f"{machine.disk_gb} GB, {machine.memory_mb} MB", "headroom": str(HEADROOM)},
    }


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def convert(order: Order, progress: Progress) -> None:
    """Leave the box's disk as a raw file, looked into: what cannot be baked or shrunk is refused here."""
    with opened(order.source) as found, keeping(order.work, CONVERT, order.inputs_of(CONVERT)) as folder:
        _ensure_room(order.work, 3 * found.disk.stored, None, progress)
        with (folder / DISK).open("xb+") as stream:
            write(found.disk, stream.fileno(), None, progress)
        check_shrinkable(folder / DISK)
        system = _examined(folder / DISK, progress)
        (folder / _SYSTEM).write_text(json.dumps({"distro": system.distro, "codename": system.codename}))


def _examined(disk: Path, progress: Progress) -> System:
    """The guest on a disk. Raises InvalidInputError, naming what is missing, if it cannot be baked."""
    inspection = inspect_image(disk, progress)
    stopping = [finding for finding in inspection.findings if finding.name in REFUSED]
    if stopping:
        raise InvalidInputError(
            "The box cannot be baked.",
            problems=tuple(finding.meaning for finding in stopping),
            hint="Correct that in the box; `provision image inspect` shows all that it has.",
        )
    if inspection.system is None:
        raise InvalidInputError(
            "The box holds no system that is known.",
            problems=inspection.unread,
            hint="`provision image inspect` shows what is on its disk.",
        )
    return inspection.system


def bake_disk(order: Order, progress: Progress) -> None:
    """Leave a copy of the converted disk in which the roles ran, without identity, and the list of what is inside."""
    before = order.checkpoint(CONVERT)
    with keeping(order.work, BAKE, order.inputs_of(BAKE)) as folder:
        _ensure_room(order.work, used(before) + BAKE_ROOM, before, progress)
        system = json.loads((before / _SYSTEM).read_text())
        with progress.phase("Copying the disk") as phase:
            copy_disk(before / DISK, folder / DISK)
            if grown := ensure_free(folder / DISK, BAKE_ROOM, least=BAKE_LEAST):
                phase.result(f"{amount(grown)} larger, to have room for the bake")
        bake(folder / DISK, folder, order.bake_in, system["codename"], order.variables, progress)
        (folder / _SYSTEM).write_text(json.dumps(system))


def finish(order: Order, progress: Progress) -> None:
    """Leave the build: the baked disk shrunk and compressed, its contents, its manifest, its log."""
    before = order.checkpoint(BAKE)
    with unfinished(order.work, "build") as folder:
        _ensure_room(order.work, 2 * used(before), before, progress)
        size = _compress(before / DISK, folder, order.course, progress)
        shutil.copyfile(before / CONTENTS, folder / CONTENTS)
        with progress.phase("Writing the manifest") as phase:
            manifest = _manifest(order, folder / IMAGE, size, json.loads((before / _SYSTEM).read_text())["distro"])
            write_manifest(folder, manifest)
            phase.result(f"build {manifest.build}, {amount(manifest.size)}, for disks from {manifest.min_disk} GiB")
        (folder / LOG).hardlink_to(order.work / LOG)  # what is still to be logged goes there, too
        complete(folder, build_folder(manifest.course, manifest.build))
    discard(order.work)


def _compress(baked: Path, folder: Path, course: Course, progress: Progress) -> int:
    """Leave the image in `folder`; the size in bytes that a machine will see."""
    raw = folder / DISK
    with progress.phase("Copying the disk"):
        copy_disk(baked, raw)
    if (size := shrunk(raw, HEADROOM, progress)) > course.machine.disk_gb * GIB:
        raise InvalidInputError(
            f"The image needs {amount(size)}, but course.toml says disk_gb = {course.machine.disk_gb}.",
            hint="Raise disk_gb, or remove data from the box.",
        )
    image = folder / IMAGE
    with progress.phase("Compressing the image") as phase, opened_file(raw) as window, image.open("w+b") as stream:
        write_qcow2(watched(read_raw(window), in_bytes(phase)), stream.fileno(), Encoding())
        phase.result(amount(image.stat().st_size))
    raw.unlink()
    return size


def _manifest(order: Order, image: Path, size: int, distro: str) -> Manifest:
    sha256 = sha256_of(image)
    return Manifest(
        course=order.course.name,
        build=sha256[:12],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        disk_format="qcow2",
        virtual_size=size,
        size=image.stat().st_size,
        sha256=sha256,
        source_sha256=order.source_sha256,
        min_disk=-(-size // GIB),
        min_ram=order.course.machine.memory_mb,
        os_distro=distro,
        toolkit=__version__,
        inputs=order.inputs,
    )


def _ensure_room(work: Path, needed: int, keep: Path | None, progress: Progress) -> None:
    """See that there is room for a step; older checkpoints go for it, and the log says so. Raises PreflightError."""
    removed, free = make_room(work, needed, keep)
    if removed:
        progress.say(f"{amount(removed)} of older checkpoints were removed to make room.")
    if free < needed:
        raise PreflightError(
            f"The next step of the build needs {amount(needed)} of room in {work}; there are {amount(free)}.",
            hint="Make room, or name another place with XDG_CACHE_HOME, and run the same command again.",
        )
