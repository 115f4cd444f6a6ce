"""Glance: finding a presentation's image, a build, or what was uploaded before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.naming import image_name
from provision.errors import NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

BUILD_PROPERTY = "provision_build"
# Of what was sent, whatever the cloud made of it.
SENT_SIZE, SENT_SHA256 = "provision_sent_size", "provision_sent_sha256"


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
    disk_format: str
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
        disk_format=found.disk_format or "",
        owner=found.owner_id or "",
        properties=dict(found.properties or {}),
    )
