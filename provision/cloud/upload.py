"""Sending an image to Glance, straight from its source. It bears its name only once it is whole and compared."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.cloud.body import Body, Sending
from provision.cloud.connection import translated
from provision.cloud.images import SENT_SHA256, call, change_image, delete_image, images_named
from provision.core.delivery import Method
from provision.errors import CloudError, InvalidInputError, ProvisionError

if TYPE_CHECKING:
    from openstack.connection import Connection

log = logging.getLogger(__name__)

# Seconds in which a chunk must go out, and in which Glance must answer once all is sent: it writes to its store.
TIMEOUTS = (300.0, 900.0)
IMPORT_SECONDS = 3600.0  # within which a cloud must have converted and stored what it was given
PAUSES = (0.2, 5.0)  # seconds between two looks at an image: the first, and the longest
GATEWAYS = (502, 504)  # what stands before Glance lost patience; Glance itself goes on
UNDER_WAY = ("saving", "uploading", "importing")
UNFINISHED = ("pending", "processing")  # of a task


@dataclass(frozen=True)
class NewImage:
    """An image to be made: min_disk in GiB, min_ram in MiB. `sum_name` is the sum that the cloud makes of images."""

    name: str
    disk_format: str
    min_disk: int
    min_ram: int
    properties: Mapping[str, str]
    sum_name: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """What the cloud has in the end: its size in bytes and its format, and the SHA-256 of what was sent."""

    id: str
    size: int
    disk_format: str
    sha256: str
    proof: str  # how it is known that these are the bytes that were sent


class BrokenConnectionError(CloudError):
    """The connection was lost while the bytes were sent."""


class LostAnswerError(BrokenConnectionError):
    """All bytes were sent, and no answer came."""


def upload_image(
    connection: "Connection",
    wish: NewImage,
    body: Body,
    *,
    method: Method = Method.PUT,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None],
    on_note: Callable[[str], None] = lambda _: None,
) -> Stored:
    """Send `body` as a new image, and return it once Glance's own sum of it is ours (and ours `sha256`, if given).

    What an interrupted upload of the same name left is removed first; what this one leaves when it fails, too.
    `on_bytes` is called with the bytes sent and their total, `on_note` with what happens otherwise.
    """
    try:
        return _upload_once(connection, wish, body, method, sha256, on_bytes, on_note)
    except BrokenConnectionError as exc:
        # That is safe: the image that got half of it is removed, nobody knew its id, and this is a new one.
        log.warning("%s It is sent once more.", exc.message)
        on_note("the connection broke: sending again")
    return _upload_once(connection, wish, body, method, sha256, on_bytes, on_note)


def _upload_once(
    connection: "Connection",
    wish: NewImage,
    body: Body,
    method: Method,
    sha256: str | None,
    on_bytes: Callable[[int, int], None],
    on_note: Callable[[str], None],
) -> Stored:
    sending = Sending(body, ("sha256", wish.sum_name), on_bytes)
    _remove_unfinished(connection, wish.name)
    with _unfinished(connection, wish) as image:
        _send(connection, image, wish.name, method, sending)
        on_note("sent; the cloud stores it")
        facts = _wait_until_stored(connection, image, wish.name, method)
        proof = _verify(facts, wish, sending, sha256)
        sent = str(sending.sum("sha256"))
        change_image(connection, image, f"Naming image {wish.name}", {"name": wish.name, SENT_SHA256: sent})
    return Stored(image, facts["size"], facts["disk_format"], sent, proof)


def _unfinished_name(name: str) -> str:
    # A process that is killed leaves its image, and some Glances make one active that got half of its bytes.
    return f"{name} (unfinished)"


@contextmanager
def _unfinished(connection: "Connection", wish: NewImage) -> Iterator[str]:
    """The id of a new image, which is removed if the block fails."""
    body = {
        **wish.properties,
        "name": _unfinished_name(wish.name),
        "tags": wish.tags,
        "min_disk": wish.min_disk,
        "min_ram": wish.min_ram,
        "disk_format": wish.disk_format,
        "container_format": "bare",
    }
    image = str(call(connection, "post", "/images", f"Creating image {wish.name}", json=body).json()["id"])
    try:
        yield image
    except BaseException as exc:  # also Ctrl-C: half an image is of no use to anyone
        _remove_after(connection, image, wish.name, exc)
        raise


def _remove_after(connection: "Connection", image: str, name: str, exc: BaseException) -> None:
    """Remove the image because of `exc`, which is what a person must see, even if the removal fails as well."""
    try:
        delete_image(connection, image, f"Removing the unfinished image {name}")
    except ProvisionError as failure:
        log.warning("%s", failure.message)
        if isinstance(exc, ProvisionError):
            left = f"The unfinished image {image} is left: the next upload of {name} removes it."
            exc.hint = f"{exc.hint} {left}" if exc.hint else left


def _remove_unfinished(connection: "Connection", name: str) -> None:
    for image in images_named(connection, _unfinished_name(name)):
        if image.owner == connection.current_project_id:
            delete_image(connection, image.id, f"Removing the unfinished image {name}")


def _send(connection: "Connection", image: str, name: str, method: Method, sending: Sending) -> None:
    if method is Method.PUT:
        try:
            _put(connection, f"/images/{image}/file", name, sending)
        except LostAnswerError as exc:
            log.warning("%s The image itself will tell.", exc.message)
            if _facts(connection, image, name)["status"] == "queued":  # a small body is sent before anyone reads it
                raise
        return
    _put(connection, f"/images/{image}/stage", name, sending)
    staged = _facts(connection, image, name)["size"]
    if staged not in (None, len(sending)):  # old clouds do not say it
        raise CloudError(f"Glance took {staged} bytes of {len(sending)}.", hint="Run the same command again.")
    body = {"method": {"name": "glance-direct"}}
    call(connection, "post", f"/images/{image}/import", f"Importing image {name}", json=body)


def _put(connection: "Connection", path: str, name: str, sending: Sending) -> None:
    from keystoneauth1.exceptions import ConnectFailure
    from openstack.exceptions import raise_from_response

    headers = {"Content-Type": "application/octet-stream"}
    with translated(f"Uploading image {name}"):
        try:
            response = connection.image.put(path, data=sending, headers=headers, timeout=TIMEOUTS)
        except ConnectFailure as exc:
            raise _broken(name, sending) from exc
        if response.status_code in GATEWAYS and sending.complete:
            raise _broken(name, sending)
        raise_from_response(response)


def _broken(name: str, sending: Sending) -> BrokenConnectionError:
    if sending.complete:
        return LostAnswerError(f"Image {name} was sent, and no answer came.", hint="Run the same command again.")
    return BrokenConnectionError(
        f"The connection broke while image {name} was sent, after {sending.sent} of {len(sending)} bytes.",
        hint="Is the network stable? Is there a limit on the size of an upload on the way? Run the same command again.",
    )


def _wait_until_stored(connection: "Connection", image: str, name: str, method: Method) -> Mapping[str, Any]:
    """Wait until the image is active and no task works on it: an import's last step writes the whole image again."""
    deadline, pause = time.monotonic() + IMPORT_SECONDS, PAUSES[0]
    while True:
        # Before the image: what a task wrote is then seen.
        tasks = _import_tasks(connection, image, name) if method is Method.IMPORT else ()
        facts = _facts(connection, image, name)
        status = facts["status"]
        if status == "active" and not any(task["status"] in UNFINISHED for task in tasks):
            return facts
        _check_import(name, status, tasks)
        if time.monotonic() > deadline:
            raise CloudError(
                f"The uploaded image {name} is still {status} after {IMPORT_SECONDS:.0f} seconds.",
                hint="Ask the operator what Glance is waiting for.",
            )
        time.sleep(pause)
        pause = min(2 * pause, PAUSES[1])


def _check_import(name: str, status: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Raise when the image will not become active; after a failed task it may stay `importing` for ever."""
    if status == "active":
        return
    if failed := [task for task in tasks if task["status"] == "failure"]:
        said = " ".join((failed[0].get("message") or "the import failed").split())
        raise CloudError(
            f"The cloud's import of image {name} failed: {said}",
            hint="Ask the operator for Glance's log; --disk-format qcow2 or raw sends it without an import.",
        )
    if status not in UNDER_WAY:
        raise CloudError(
            f"The uploaded image {name} is {status}, not active.",
            hint="Ask the operator for Glance's log.",
        )


def _import_tasks(connection: "Connection", image: str, name: str) -> Sequence[Mapping[str, Any]]:
    try:
        answer = call(connection, "get", f"/images/{image}/tasks", f"Reading the tasks of image {name}")
    except CloudError:  # before Wallaby there are none to be seen
        return ()
    return tuple(answer.json().get("tasks", ()))


def _verify(facts: Mapping[str, Any], wish: NewImage, sending: Sending, sha256: str | None) -> str:
    """Raise unless what the cloud holds is what was to be sent; how that is known."""
    if sha256 not in (None, sending.sum("sha256")):
        raise InvalidInputError("It is not the file that was built: its sha256 has changed.", hint="Build it again.")
    if facts["disk_format"] != wish.disk_format:
        return f"the cloud made {facts['disk_format']} of it"
    algorithm = facts.get("os_hash_algo")
    theirs = facts.get("os_hash_value") if algorithm else facts.get("checksum")
    ours = sending.sum(algorithm or "md5")
    if theirs and ours not in (None, theirs):
        raise CloudError("Glance holds other bytes than were sent.", hint="Run the same command again.")
    if facts["size"] != len(sending):
        raise CloudError(f"Glance holds {facts['size']} bytes of {len(sending)}.", hint="Run the same command again.")
    return f"its {algorithm or 'md5'} agrees" if theirs and ours else "its size agrees"


def _facts(connection: "Connection", image: str, name: str) -> Mapping[str, Any]:
    facts = call(connection, "get", f"/images/{image}", f"Reading image {name}").json()
    return dict(facts)
