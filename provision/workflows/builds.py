"""Builds: where they are kept, what identifies one, what its manifest says."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from provision.core.steps import SHRINK, VERIFY, Inputs, Kept, inputs_of
from provision.errors import NotFoundError
from provision.paths import cache_home

IMAGE, MANIFEST, CONTENTS = "image.qcow2", "manifest.json", "contents.json"
BOX_PARTS = "box-parts"  # the folder beside a course's that its script may read
LEFT_OUT = {"course.toml", "README.md"}  # what a course's folder holds that does not go into its box


@dataclass(frozen=True)
class Manifest:
    """What is known of a build. Sizes in bytes, min_disk in GiB, min_ram in MiB.

    `toolkit` is the version that made it, `inputs` what went into each step, `verified` how its verification ended;
    `forced` says that it was published without one that passed.
    """

    course: str
    build: str
    created: str
    disk_format: str
    virtual_size: int
    size: int
    sha256: str
    source_sha256: str
    min_disk: int
    min_ram: int
    os_distro: str
    toolkit: str = ""
    verified: Mapping[str, Any] | None = None
    forced: bool = False
    inputs: Inputs = field(default_factory=dict)


@dataclass(frozen=True)
class Build:
    """A finished build: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def image(self) -> Path:
        """The disk that is published."""
        return self.folder / IMAGE


def build_folder(course: str, build: str) -> Path:
    """Where a build is kept; it has that name only once it is complete."""
    return cache_home() / "builds" / course / build


def find_finished(course: str, build: str) -> Build | None:
    """The finished build of that id, or None."""
    folder = build_folder(course, build)
    return _read(folder) if (folder / MANIFEST).is_file() else None


def newest_build(course: str) -> Build:
    """The build of `course` that was made last."""
    found = finished_builds(course)
    if not found:
        raise NotFoundError(f"There is no build of {course} yet.", hint=f"Make one: provision image build {course}.")
    return max(found, key=lambda build: build.manifest.created)


def finished_builds(course: str) -> list[Build]:
    """All builds of `course`."""
    return [_read(path.parent) for path in (cache_home() / "builds" / course).glob(f"[!.]*/{MANIFEST}")]


def made_steps(builds: list[Build]) -> tuple[Kept, ...]:
    """The steps that finished builds are the results of."""
    return tuple(
        Kept(step, inputs_of(step, build.manifest.inputs), build.manifest.created)
        for build in builds
        for step, made in ((SHRINK, True), (VERIFY, is_verified(build)))
        if made and build.manifest.inputs
    )


def made_of(build: Build) -> dict[str, str]:
    """All that went into a build."""
    return inputs_of(SHRINK, build.manifest.inputs)


def is_verified(build: Build) -> bool:
    """Whether the build was verified, and passed."""
    return bool((build.manifest.verified or {}).get("passed"))


def find_local(reference: str) -> Build | None:
    """The finished build of that id, or the newest of the course of that name; None if there is none here."""
    shelf = cache_home() / "builds"
    if not re.fullmatch(r"[a-z0-9]+", reference):
        return None
    if any((shelf / reference).glob(f"[!.]*/{MANIFEST}")):
        return newest_build(reference)
    return next((_read(path.parent) for path in sorted(shelf.glob(f"*/{reference}/{MANIFEST}"))), None)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the build in `folder`."""
    unfinished = folder / f".{MANIFEST}"
    unfinished.write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    unfinished.replace(folder / MANIFEST)


def _read(folder: Path) -> Build:
    content = json.loads((folder / MANIFEST).read_text())
    return Build(
        folder, Manifest(**{field.name: content[field.name] for field in fields(Manifest) if field.name in content})
    )


def box_key(folder: Path) -> str:
    """12 hex digits over what a course's folder, and the parts beside it, give to the script that makes its box."""
    return _sum_of(folder, folder.parent / BOX_PARTS)


def sum_of_folder(folder: Path) -> str:
    """12 hex digits over the names and contents of the files below a folder, without its README."""
    return _sum_of(folder)


def _sum_of(*folders: Path) -> str:
    digest = hashlib.sha256()
    for given in folders:
        _add_files(digest, given)
    return digest.hexdigest()[:12]


def _add_files(digest: "hashlib._Hash", folder: Path) -> None:
    for path in _files(folder):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in LEFT_OUT and path.suffix not in (".pyc", ".box"):
            yield path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
