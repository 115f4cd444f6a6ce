"""What is in a build: kept beside it here, and in a small hidden image on the cloud; compared between any two."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import zstandard

from provision.cloud import builds as tell
from provision.cloud.body import Body
from provision.cloud.builds import find_build
from provision.cloud.images import change_image, download_image
from provision.cloud.stores import observe_offer
from provision.cloud.upload import NewImage, upload_image
from provision.core.builds import Published
from provision.core.contents import Change, Contents, diff_contents, parse_contents
from provision.core.delivery import RAW
from provision.core.naming import contents_name
from provision.errors import InvalidInputError, NotFoundError
from provision.progress import Progress
from provision.workflows.builds import CONTENTS, Build, find_local

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

PACKED, UNPACKED = 2**24, 2**27  # bytes beyond which it is no list of contents


def packed_contents(build: Build, progress: Progress) -> bytes | None:
    """The build's contents.json, seen to be one, and compressed; None, and a word about it, if it has none."""
    place = build.folder / CONTENTS
    if not place.is_file():
        progress.say(f"Build {build.manifest.build} has no {CONTENTS}: nobody will be able to compare it.")
        return None
    text = place.read_text()
    parse_contents(text, str(place))
    return zstandard.ZstdCompressor(level=19).compress(text.encode())


def store_contents(
    connection: "Connection", published: Published, packed: bytes, visibility: str, progress: Progress
) -> Published:
    """Keep the contents as a small hidden image beside the build's: no property has room for them.

    Returns the build as its image is to tell of it.
    """
    offer = observe_offer(connection)
    if offer.formats and RAW not in offer.formats:
        progress.say("This cloud takes no raw images: what is in the build can be compared only where it was built.")
        return published
    facts = {tell.COURSE: published.course, tell.PRESENTATION: published.presentation, tell.BUILD: published.build}
    wish = NewImage(
        name=contents_name(published.course, published.presentation, published.build),
        disk_format=RAW,
        min_disk=0,
        min_ram=0,
        properties={**facts, "visibility": "private"},
        sum_name=offer.sum_name,
        tags=(tell.TAG,),
    )
    with progress.phase("Sending the list of contents") as phase:
        body = Body(len(packed), lambda: iter([packed]))
        stored = upload_image(connection, wish, body, on_bytes=lambda *_: None)
        shown: dict[str, str | bool | None] = {"os_hidden": True, "visibility": visibility}
        change_image(connection, stored.id, "Hiding the list of contents", shown)
        phase.result(f"{len(packed):,} bytes; {stored.proof}")
    return replace(published, contents=stored.id, contents_sha256=stored.sha256)


def compare(sign_in: Callable[[], "Connection"], before: str, after: str) -> tuple[Change, ...]:
    """What differs between two builds, each named by its id, its image, or as tm351-26J:3; or a course's newest here.

    `sign_in` is called only if one of them is not on this computer.
    """
    return diff_contents(_contents(sign_in, before), _contents(sign_in, after))


def _contents(sign_in: Callable[[], "Connection"], reference: str) -> Contents:
    build = find_local(reference)
    if build and (place := build.folder / CONTENTS).is_file():
        return parse_contents(place.read_text(), str(place))
    connection = sign_in()
    return _fetched(connection, find_build(connection, reference))


def _fetched(connection: "Connection", published: Published) -> Contents:
    if not published.contents:
        raise NotFoundError(
            f"What is in {published.name} was not published with it.",
            hint=f"Where it was built: provision image publish {published.course} {published.presentation} "
            f"--build {published.build} --no-promote adds it.",
        )
    what = f"Fetching the list of what is in {published.name}"
    packed = download_image(connection, published.contents, PACKED, what)
    if hashlib.sha256(packed).hexdigest() != published.contents_sha256:
        raise InvalidInputError(f"What is in {published.name} cannot be told: its list has changed since.")
    try:
        text = zstandard.ZstdDecompressor().decompress(packed, max_output_size=UNPACKED).decode()
    except (zstandard.ZstdError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"The list of what is in {published.name} is damaged.") from exc
    return parse_contents(text, f"The list of {published.name}")
