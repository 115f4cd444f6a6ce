"""Glance: finding a presentation's image, and publishing a build as one, streamed and verified."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.naming import image_name
from provision.errors import CloudError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

CHUNK = 2**20
UPLOAD_TIMEOUT = 900.0  # seconds: a busy Glance answers only when its store has taken everything
BUILD_PROPERTY = "provision_build"


@dataclass(frozen=True)
class Image:
    """An image. Sizes in bytes, min_disk in GiB, min_ram in MiB; virtual_size is None where Glance did not find out."""

    id: str
    name: str
    status: str
    size: int | None
    virtual_size: int | None
    min_disk: int
    min_ram: int
    created: str
    owner: str
    properties: Mapping[str, Any]

    @property
    def smallest_disk(self) -> int:
        """The smallest root disk in GiB: Nova compares both min_disk and the virtual size."""
        return max(self.min_disk, -(-(self.virtual_size or 0) // 2**30))


def images_named(connection: "Connection", name: str) -> tuple[Image, ...]:
    """Every image of that name that the project can see, the newest first."""
    with translated(f"Looking for image {name}"):
        found = [_image(image) for image in connection.image.images(name=name)]
    return tuple(sorted(found, key=lambda image: image.created, reverse=True))


def find_image(connection: "Connection", name: str) -> Image:
    """The newest usable image of that name. Raises NotFoundError, which tells if one is there but not active."""
    found = images_named(connection, name)
    for image in found:
        if image.status == "active":
            return image
    states = f" There is one, but it is {found[0].status}." if found else ""
    raise NotFoundError(
        f"There is no usable image {name!r} on this cloud.{states}",
        hint="Publish one: provision image publish COURSE PRESENTATION.",
    )


def find_build(connection: "Connection", course: str, presentation: str, build: str) -> Image | None:
    """The active image that holds exactly this build, or None."""
    for image in images_named(connection, image_name(course, presentation)):
        if image.status == "active" and image.properties.get(BUILD_PROPERTY) == build:
            return image
    return None


def publish_image(
    connection: "Connection",
    name: str,
    path: Path,
    *,
    properties: dict[str, str],
    min_disk: int,
    min_ram: int,
    disk_format: str,
    sha256: str,
    on_bytes: Callable[[int, int], None],
) -> str:
    """Upload `path` and return the image's id, once Glance's own sum of it is the file's and the file's is `sha256`.

    What an interrupted upload of the same name left is removed first; what this one leaves when it fails, too.
    `on_bytes` is called with the bytes sent and their total.
    """
    _remove_unfinished(connection, name)
    body = {
        **properties,
        "name": name,
        "min_disk": min_disk,
        "min_ram": min_ram,
        "disk_format": disk_format,
        "container_format": "bare",
    }
    image = _call(connection, "post", "/images", f"Creating image {name}", json=body).json()["id"]
    try:
        upload = _Upload(path, on_bytes)
        headers = {"Content-Type": "application/octet-stream"}
        words = f"Uploading image {name}"
        _call(connection, "put", f"/images/{image}/file", words, data=upload, headers=headers, timeout=UPLOAD_TIMEOUT)
        _verify(_call(connection, "get", f"/images/{image}", f"Reading image {name}").json(), upload, sha256)
    except BaseException:  # also Ctrl-C: half an image is of no use to anyone
        _call(connection, "delete", f"/images/{image}", f"Removing the unfinished image {name}")
        raise
    return str(image)


class _Upload:
    """A file as a request's body, read anew and summed each time that it is sent."""

    def __init__(self, path: Path, on_bytes: Callable[[int, int], None]) -> None:
        self.path, self.on_bytes, self.size = path, on_bytes, path.stat().st_size
        self.sums = {"sha256": hashlib.sha256(), "sha512": hashlib.sha512()}

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        self.sums = {name: hashlib.new(name) for name in self.sums}
        sent = 0
        with self.path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                for running in self.sums.values():
                    running.update(chunk)
                yield chunk
                sent += len(chunk)
                self.on_bytes(sent, self.size)


def _verify(image: Mapping[str, Any], upload: _Upload, sha256: str) -> None:
    if upload.sums["sha256"].hexdigest() != sha256:
        raise InvalidInputError(
            f"{upload.path} is not the file that was built: its sha256 has changed.", hint="Build it again."
        )
    if image["status"] != "active":
        raise CloudError(
            f"The uploaded image is {image['status']}, not active.", hint="Ask the operator for Glance's log."
        )
    ours = upload.sums.get(image.get("os_hash_algo") or "")
    if ours is not None and ours.hexdigest() != image["os_hash_value"]:
        raise CloudError("Glance holds other bytes than were sent.", hint="Run the same command again.")
    if ours is None and image["size"] != len(upload):
        raise CloudError(f"Glance holds {image['size']} bytes of {len(upload)}.", hint="Run the same command again.")


def _remove_unfinished(connection: "Connection", name: str) -> None:
    for image in images_named(connection, name):
        unfinished = image.status in ("queued", "saving") and image.owner == connection.current_project_id
        if unfinished and BUILD_PROPERTY in image.properties:
            _call(connection, "delete", f"/images/{image.id}", f"Removing the unfinished image {name}")


def _call(connection: "Connection", verb: str, path: str, what: str, **options: Any) -> Any:
    """One request. The SDK's own upload reads the file three times and cannot tell how far it is."""
    from openstack.exceptions import raise_from_response

    with translated(what):
        response = getattr(connection.image, verb)(path, **options)
        raise_from_response(response)
    return response


def _image(found: Any) -> Image:
    return Image(
        id=found.id,
        name=found.name,
        status=found.status,
        size=found.size,
        virtual_size=found.virtual_size,
        min_disk=found.min_disk or 0,
        min_ram=found.min_ram or 0,
        created=found.created_at or "",
        owner=found.owner_id or "",
        properties=dict(found.properties or {}),
    )
