"""The story of publishing: a proved build becomes an image of a presentation, with all that is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provision.cloud import builds as tell
from provision.cloud.builds import find_build, observe_builds
from provision.cloud.images import change_image, read_image
from provision.core.builds import Published, current, next_number, next_promotion
from provision.core.naming import build_name, image_name
from provision.errors import NotFoundError, PreflightError
from provision.progress import Progress
from provision.workflows.builds import Build, Manifest, find_finished, newest_build, write_manifest
from provision.workflows.contents import packed_contents, store_contents
from provision.workflows.courses import read_course
from provision.workflows.inspect import inspect_image
from provision.workflows.published import share_with
from provision.workflows.upload import Wishes, upload

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

SHARED = "shared"


@dataclass(frozen=True)
class Terms:
    """How to publish. Without `build` (an id) the newest; without `visibility` as it is, and privately at first."""

    build: str | None = None
    visibility: str | None = None
    members: tuple[str, ...] = ()
    force: bool = False
    promote: bool = True
    dry_run: bool = False


@dataclass(frozen=True)
class Publication:
    """What came of it: `uploaded` is "now", "before" or "no"; `name` is such as tm351-26J:3."""

    name: str
    id: str | None
    build: Build
    current: bool
    uploaded: str


def publish(connection: "Connection", course: str, presentation: str, terms: Terms, progress: Progress) -> Publication:
    """Make a build of `course` the current one of `presentation`. What is there already is not sent again.

    Raises PreflightError if the build did not pass its verification and is not forced.
    """
    name = read_course(course)[0].name
    image_name(name, presentation)  # refuses what could not be told apart again
    build = _proved(_local(name, terms.build), terms, progress)
    contents = packed_contents(build, progress)
    there = observe_builds(connection, name, presentation)
    found = _find(connection, there, build.manifest.build)
    if found:
        progress.say(f"Build {found.build} is there already, as {found.name}.")
    number = found.number if found else next_number(there)
    image = found.id if found else _upload(connection, build, presentation, number, terms, progress)
    if image and not terms.dry_run:
        _complete(connection, find_build(connection, image), build, contents, terms, progress)
        there = observe_builds(connection, name, presentation)
    now = current(there)
    uploaded = "no" if terms.dry_run else "before" if found else "now"
    return Publication(
        build_name(name, presentation, number), image, build, now is not None and now.id == image, uploaded
    )


def _find(connection: "Connection", there: tuple[Published, ...], build: str) -> Published | None:
    """The project's own image of that build."""
    own = connection.current_project_id
    return next((each for each in there if each.build == build and each.owner == own), None)


def _local(course: str, build: str | None) -> Build:
    if build is None:
        return newest_build(course)
    if found := find_finished(course, build):
        return found
    raise NotFoundError(
        f"There is no build {build} of {course} here.", hint=f"Make one: provision image build {course}."
    )


def _passed(manifest: Manifest) -> bool:
    return bool(manifest.verified and manifest.verified.get("passed") is True)


def _proved(build: Build, terms: Terms, progress: Progress) -> Build:
    """The build, if it passed its verification or is forced; that it was forced is written into its manifest."""
    manifest = build.manifest
    if _passed(manifest):
        return build
    proofs: Mapping[str, str] = (manifest.verified or {}).get("proofs", {})
    failed = [f"{name}: {result}" for name, result in proofs.items() if result != "passed"]
    what = f"did not pass its verification ({'; '.join(failed)})" if manifest.verified else "was never verified"
    if not terms.force:
        raise PreflightError(
            f"Build {manifest.build} of {manifest.course} {what}. No such build is published.",
            hint=f"Prove it: provision image verify {manifest.course}. What you say is fine goes with --force, "
            "which is written into its manifest and its image.",
        )
    progress.say(f"Warning: build {manifest.build} {what}. It is published because of --force, and its image says so.")
    forced = replace(manifest, forced=True)
    if not terms.dry_run:
        write_manifest(build.folder, forced)
    return replace(build, manifest=forced)


def _proof_properties(manifest: Manifest) -> dict[str, str]:
    verified = manifest.verified if _passed(manifest) else None
    return {
        **({tell.VERIFIED: str(verified.get("when", ""))} if verified else {}),
        tell.FORCED: "false" if verified else "true",
    }


def _upload(
    connection: "Connection", build: Build, presentation: str, number: int, terms: Terms, progress: Progress
) -> str | None:
    """Send the image, which is nobody's current one yet; its id, or None where nothing was to be sent."""
    manifest = build.manifest
    facts = {
        tell.COURSE: manifest.course,
        tell.PRESENTATION: presentation,
        tell.BUILD: manifest.build,
        tell.NUMBER: str(number),
        tell.SHA256: manifest.sha256,
        tell.SOURCE: manifest.source_sha256,
        tell.TOOLKIT: manifest.toolkit,
        **_proof_properties(manifest),
        **_hardware(build, progress),
        "visibility": "private",
    }
    wishes = Wishes(
        properties={name: value for name, value in facts.items() if value},
        min_disk=manifest.min_disk,
        min_ram=manifest.min_ram,
        sha256=manifest.sha256,
        tags=(tell.TAG,),
        one_of_many=True,
    )
    name = image_name(manifest.course, presentation)
    return upload(connection, build.image, name, wishes, progress, dry_run=terms.dry_run).id


def _hardware(build: Build, progress: Progress) -> dict[str, str]:
    """What the disk itself says of the machine that it needs. That it has virtio's drivers, its bake saw to."""
    found = inspect_image(build.image, progress)
    firmwares = {loader.firmware for loader in found.bootloaders}
    starts = {frozenset({"bios"}): "bios", frozenset({"efi"}): "uefi"}.get(frozenset(firmwares), "")
    system = found.system
    return {
        "os_type": "linux",
        "os_distro": (system.distro if system else "") or build.manifest.os_distro,
        "os_version": system.version if system else "",
        "hw_firmware_type": starts,  # of a disk that starts by either, the cloud's own choice is right
    }


def _complete(
    connection: "Connection",
    published: Published,
    build: Build,
    contents: bytes | None,
    terms: Terms,
    progress: Progress,
) -> None:
    """Bring the image's properties to what is wished, by one request: it is current with all of them, or not yet."""
    visibility = (SHARED if terms.members else terms.visibility) or published.visibility
    if contents and not published.contents:
        published = store_contents(connection, published, contents, visibility, progress)
    elif published.contents and visibility != published.visibility:
        change_image(connection, published.contents, "Showing the list of contents", {"visibility": visibility})
    there = observe_builds(connection, published.course, published.presentation)
    now = current(there)
    promoted = published.promoted
    if terms.promote and not (now and now.id == published.id):
        promoted = next_promotion(there, datetime.now(UTC))
    properties = {
        **_proof_properties(build.manifest),
        "visibility": visibility,
        tell.CONTENTS: published.contents,
        tell.CONTENTS_SHA256: published.contents_sha256,
        tell.PROMOTION: promoted,
    }
    said = read_image(connection, published.id)
    have = {**said.properties, "visibility": said.visibility}
    changes = {name: value for name, value in properties.items() if value and have.get(name) != value}
    if changes:
        change_image(connection, published.id, f"Publishing {published.name}", changes)
    share_with(connection, published, terms.members)
