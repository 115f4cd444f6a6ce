"""Glance's images: found, read, changed, shared, deleted."""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.images import Image
from provision.errors import CloudError, ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

log = logging.getLogger(__name__)

IMAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of what was sent, whatever the cloud made of it.
SENT_SIZE, SENT_SHA256 = "provision_sent_size", "provision_sent_sha256"


def images_named(connection: "Connection", name: str) -> tuple[Image, ...]:
    """Every image of that name that the project can see, the newest first."""
    found = list_images(connection, f"Looking for image {name}", name=name)
    return tuple(sorted(found, key=lambda image: image.created, reverse=True))


def list_images(connection: "Connection", what: str, **query: Any) -> tuple[Image, ...]:
    """The images that `query` (as the SDK's `images` takes it) finds; `what` says it in words."""
    with translated(what):
        return tuple(_image(image) for image in connection.image.images(**query))


def find_image(connection: "Connection", reference: str) -> Image:
    """The usable image of that id, or the newest of that name. Raises NotFoundError, which tells its state."""
    found = images_named(connection, reference) or _with_id(connection, reference)
    for image in found:
        if image.status == "active":
            return image
    states = f" There is one, but it is {found[0].status}." if found else ""
    raise NotFoundError(f"There is no usable image {reference!r} on this cloud.{states}")


def _with_id(connection: "Connection", reference: str) -> tuple[Image, ...]:
    """Also an image that no list shows: one of the community, or one that is offered and not yet accepted."""
    if not IMAGE_ID.fullmatch(reference):
        return ()
    with suppress(NotFoundError):
        return (read_image(connection, reference),)
    return ()


def read_image(connection: "Connection", image: str) -> Image:
    """What an image says of itself, by its id. Raises NotFoundError if it is gone."""
    with translated(f"Reading image {image}"):
        return _image(connection.image.get_image(image))


def change_image(connection: "Connection", image: str, what: str, changes: Mapping[str, str | bool | None]) -> None:
    """Set the properties `changes` of an image, all or none of them; None takes a property away."""
    patch = [
        {"op": "remove", "path": f"/{name}"} if value is None else {"op": "add", "path": f"/{name}", "value": value}
        for name, value in changes.items()
    ]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    call(connection, "patch", f"/images/{image}", what, json=patch, headers=headers)


def delete_image(connection: "Connection", image: str, what: str) -> None:
    """Delete an image; one that is gone already is no error."""
    with suppress(NotFoundError):
        call(connection, "delete", f"/images/{image}", what)


def download_image(connection: "Connection", image: str, limit: int, what: str) -> bytes:
    """The content of a small image. Raises CloudError if it has more than `limit` bytes."""
    content = bytearray()
    response = call(connection, "get", f"/images/{image}/file", what, stream=True)
    with response, translated(what):
        for chunk in response.iter_content(2**16):
            content += chunk
            if len(content) > limit:
                raise CloudError(f"{what} failed: it has more than {limit} bytes.")
    return bytes(content)


def add_member(connection: "Connection", image: str, project: str, what: str) -> None:
    """Offer a shared image to a project, which then has to accept it; offering it twice is no error."""
    from openstack.exceptions import ConflictException, raise_from_response

    with translated(what):
        try:
            raise_from_response(connection.image.post(f"/images/{image}/members", json={"member": project}))
        except ConflictException:
            log.debug("Project %s is a member of image %s already.", project, image)


def remove_member(connection: "Connection", image: str, project: str, what: str) -> None:
    """Take an image from a project that it was offered to; one that is no member is no error."""
    with suppress(NotFoundError, ForbiddenError):
        call(connection, "delete", f"/images/{image}/members/{project}", what)


def accept_image(connection: "Connection", image: str, what: str) -> None:
    """Accept an image that is offered to this project: from then on its lists show it."""
    path = f"/images/{image}/members/{connection.current_project_id}"
    call(connection, "put", path, what, json={"status": "accepted"})


def membership(connection: "Connection", image: str) -> str | None:
    """What this project said to an image that it is offered: "pending", "accepted" or "rejected"; None if it is not."""
    path = f"/images/{image}/members/{connection.current_project_id}"
    with suppress(NotFoundError, ForbiddenError):
        return str(call(connection, "get", path, "Reading an image's members").json()["status"])
    return None


def call(connection: "Connection", verb: str, path: str, what: str, **options: Any) -> Any:
    """One request to Glance, where the SDK's own way is a detour; its answer. `what` says it in words."""
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
        disk_format=found.disk_format or "",
        owner=found.owner_id or "",
        visibility=found.visibility or "",
        protected=bool(found.is_protected),
        properties=dict(found.properties or {}),
    )
