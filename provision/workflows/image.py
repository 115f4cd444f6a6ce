"""The story of an image: from a VirtualBox box to a build, and from a build to the cloud."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core.course import Course
from provision.core.naming import image_name
from provision.core.variables import role_variables
from provision.disks.extents import watched
from provision.disks.formats.raw import read_raw
from provision.disks.resize.mount import Mounted, mounted, release
from provision.disks.resize.shrink import check_shrinkable
from provision.disks.source import opened
from provision.disks.window import opened_file
from provision.disks.writers.qcow2 import Encoding, write_qcow2
from provision.errors import InvalidInputError, PreflightError
from provision.guests.generalise import generalise
from provision.guests.lending import lend
from provision.guests.playbooks import play
from provision.guests.tree import HOST, opened_tree, release_of, ssh_settings
from provision.locks import exclusive
from provision.paths import cache_home
from provision.process import follow
from provision.progress import Progress, amount
from provision.workflows.builds import (
    IMAGE,
    Build,
    Manifest,
    box_key,
    build_folder,
    build_id,
    find_finished,
    newest_build,
    sha256_of,
    write_manifest,
)
from provision.workflows.convert import GIB, HEADROOM, in_bytes, shrunk, write
from provision.workflows.courses import read_course

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

FREE = 10 * GIB  # bytes that a build may need beside what it leaves
BOX_SECONDS = 1800.0

# The programs that we run, and the Debian package of each.
BUILD_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "sfdisk": "fdisk",
    "resize2fs": "e2fsprogs",
    "partx": "util-linux",
    "losetup": "mount",
    "ssh": "openssh-client",
    "apt-config": "apt",
}
BOX_PROGRAMS = BUILD_PROGRAMS | {"mmdebstrap": "mmdebstrap"}


def build_image(name: str, progress: Progress, *, box: Path | None = None) -> Build:
    """Build the image of the course `name` from its box, or from `box`; what was built of the same inputs is returned.

    Raises PreflightError before anything is done if this computer cannot do it.
    """
    course, place = read_course(name)
    check_computer(BOX_PROGRAMS if course.box.build and not box else BUILD_PROGRAMS)
    source = box or _box(course, place.parent, progress)
    if not source.is_file():
        raise InvalidInputError(f"There is no box {source}.")
    with progress.phase("Reading the box") as phase:
        source_sha256 = sha256_of(source)
        phase.result(f"sha256 {source_sha256[:12]}")
    build = build_id(source_sha256, place)
    if finished := find_finished(course.name, build):
        progress.say(f"Nothing has changed: build {build} of {course.name} is up to date.")
        return finished
    with _work_folder(progress) as work:
        size = _make(course, source, work, progress)
        _finish(course, build, source_sha256, size, work, progress)
    return newest_build(course.name)


def check_computer(programs: dict[str, str]) -> None:
    """Raise PreflightError with what is missing here: programs, root, room."""
    check_programs(programs)
    if os.geteuid() != 0:
        raise PreflightError(
            "Building an image needs root: it mounts the box's disk and runs programs in it.",
            hint="Run the same command with sudo.",
        )
    home = cache_home()
    home.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(home).free) < FREE:
        raise PreflightError(
            f"A build needs {FREE // GIB} GiB of room in {home}; there are {free / GIB:.1f}.",
            hint="Make room, or name another place with XDG_CACHE_HOME.",
        )


def check_programs(programs: dict[str, str]) -> None:
    """Raise PreflightError with the Debian packages of those programs that are not installed."""
    missing = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if missing:
        raise PreflightError(f"Not installed here: {', '.join(missing)}.", hint=f"apt-get install {' '.join(missing)}")


def _box(course: Course, folder: Path, progress: Progress) -> Path:
    """The course's box: a file of its folder, or what its script makes, kept until one of its files changes."""
    if course.box.file:
        return folder / course.box.file
    script = folder / str(course.box.build)
    if not os.access(script, os.X_OK):
        raise InvalidInputError(f"{script} is no program that can be run.", hint=f"chmod +x {script}")
    box = cache_home() / "boxes" / course.name / f"{box_key(folder)}.box"
    if not box.exists():
        box.parent.mkdir(parents=True, exist_ok=True)
        with progress.phase(f"Making the box of {course.name}") as phase:
            unfinished = box.with_suffix(".new")
            follow([script, unfinished], deadline=BOX_SECONDS, on_line=lambda line: phase.note(line[:60]))
            unfinished.rename(box)
            phase.result(amount(box.stat().st_size))
    return box


@contextmanager
def _work_folder(progress: Progress) -> Iterator[Path]:
    """A folder for one build at a time; what a killed one left mounted in its own is let go of first."""
    home = cache_home()
    with exclusive(home / "build.lock", progress, "Waiting for another build to finish"):
        for stale in home.glob(".work-*"):
            release(stale)
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix=".work-", dir=home) as folder:
            yield Path(folder)


def _make(course: Course, source: Path, work: Path, progress: Progress) -> int:
    """Leave the finished disk in `work` as image.qcow2; the size in bytes that a machine will see."""
    raw = work / "disk.raw"
    with opened(source) as found, raw.open("w+b") as stream:
        write(found.disk, stream.fileno(), None, progress)
    check_shrinkable(raw)
    _bake(course, raw, work, progress)
    if (size := shrunk(raw, HEADROOM, progress)) > course.machine.disk_gb * GIB:
        raise InvalidInputError(
            f"The image needs {amount(size)}, but course.toml says disk_gb = {course.machine.disk_gb}.",
            hint="Raise disk_gb, or remove data from the box.",
        )
    image = work / IMAGE
    with progress.phase("Compressing the image") as phase, opened_file(raw) as window, image.open("w+b") as stream:
        write_qcow2(watched(read_raw(window), in_bytes(phase)), stream.fileno(), Encoding())
        phase.result(amount(image.stat().st_size))
    return size


def _bake(course: Course, raw: Path, work: Path, progress: Progress) -> None:
    """Run the roles on the disk's root filesystem, then take out what makes it one particular machine."""
    with mounted(raw, work / "root") as disk:
        lent_folder, keys = work / "lent", work / "keys"
        for folder in (lent_folder, keys):
            folder.mkdir(mode=0o700)
        lent = lend(lent_folder, cache_home() / "packages", release_of(disk.root).codename)
        with opened_tree(disk.root, lent, _devices(disk)) as tree:
            with progress.phase("Baking") as phase, ssh_settings(tree, keys) as ssh_config:
                played = play("bake.yml", HOST, ssh_config, role_variables(course), on_task=phase.note)
                phase.result(f"{played.tasks} tasks, {len(played.changed)} changed something")
            with progress.phase("Generalising"):
                generalise(tree)


def _devices(disk: Mounted) -> tuple[tuple[Path, str], ...]:
    """What update-grub looks at; without the by-uuid name the menu would say root=/dev/loop0p1."""
    return (
        (disk.disk, str(disk.disk)),
        (disk.partition, str(disk.partition)),
        (disk.partition, f"/dev/disk/by-uuid/{disk.uuid}"),
    )


def _finish(course: Course, build: str, source_sha256: str, size: int, work: Path, progress: Progress) -> None:
    """Give the build its manifest and its final name."""
    with progress.phase("Writing the manifest") as phase:
        image = work / IMAGE
        manifest = Manifest(
            course=course.name,
            build=build,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            disk_format="qcow2",
            virtual_size=size,
            size=image.stat().st_size,
            sha256=sha256_of(image),
            source_sha256=source_sha256,
            min_disk=-(-size // GIB),
            min_ram=course.machine.memory_mb,
            os_distro="debian",
        )
        done = work / "build"
        done.mkdir()
        image.rename(done / IMAGE)
        write_manifest(done, manifest)
        final = build_folder(course.name, build)
        final.parent.mkdir(parents=True, exist_ok=True)
        done.rename(final)
        phase.result(f"build {build}, {amount(manifest.size)}, for disks from {manifest.min_disk} GiB")


def publish(connection: "Connection", name: str, presentation: str, progress: Progress) -> tuple[str, Build, bool]:
    """Upload the newest build of a course; the image's id, the build, and whether it was there already."""
    from provision.cloud.images import find_build
    from provision.workflows.upload import Wishes, upload

    course, _ = read_course(name)
    build = newest_build(course.name)
    manifest = build.manifest
    if found := find_build(connection, course.name, presentation, manifest.build):
        progress.say(f"Nothing to do: build {manifest.build} is already published as {found.name}.")
        return found.id, build, True
    wishes = Wishes(
        properties=_properties(manifest, presentation),
        min_disk=manifest.min_disk,
        min_ram=manifest.min_ram,
        sha256=manifest.sha256,
    )
    done = upload(connection, build.image, image_name(course.name, presentation), wishes, progress)
    return str(done.id), build, done.uploaded == "before"


def _properties(manifest: Manifest, presentation: str) -> dict[str, str]:
    return {
        "provision_course": manifest.course,
        "provision_build": manifest.build,
        "provision_presentation": presentation,
        "provision_source_sha256": manifest.source_sha256,
        "os_type": "linux",
        "os_distro": manifest.os_distro,
    }
