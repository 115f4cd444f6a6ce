"""The story of an upload: the disk in any file that we read, straight into a cloud's image service."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cloud.body import Body, file_body, sha256_of
from provision.cloud.images import SENT_SHA256, SENT_SIZE, images_named
from provision.cloud.stores import observe_offer
from provision.cloud.upload import NewImage, upload_image
from provision.core.delivery import AUTO, QCOW2, RAW, Method, choose_delivery
from provision.core.images import Image
from provision.disks.extents import Packing
from provision.disks.source import Source, opened
from provision.disks.writers.qcow2 import encoding, stream_qcow2
from provision.disks.writers.raw_stream import stream_raw
from provision.errors import InvalidInputError
from provision.progress import Progress, amount
from provision.workflows.convert import GIB, in_bytes

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

VIRTIO = {"hw_disk_bus": "virtio", "hw_vif_model": "virtio", "hw_rng_model": "virtio"}


@dataclass(frozen=True)
class Wishes:
    """What a person asks of an image: its format, its properties, min_disk in GiB and min_ram in MiB.

    `packing` says how to pack a qcow2 anew; None sends what can be sent as it is. `sha256` is what a file that is sent
    as it is must have. `one_of_many`: others of its name are expected, and are not looked at.
    """

    disk_format: str = AUTO
    packing: Packing | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    min_disk: int = 0
    min_ram: int = 0
    sha256: str | None = None
    tags: tuple[str, ...] = ()
    one_of_many: bool = False


@dataclass(frozen=True)
class Upload:
    """An image that is planned, sent, or found: `sent` bytes in the form `form`, by `method`, and why.

    `uploaded` is "now", "before" or "no"; `stored_as` is the format that the cloud has made of it.
    """

    name: str
    form: str
    method: Method
    reason: str
    sent: int
    min_disk: int
    uploaded: str = "no"
    id: str | None = None
    stored_as: str | None = None
    sha256: str | None = None


def upload(
    connection: "Connection",
    source: Path,
    name: str,
    wishes: Wishes,
    progress: Progress,
    *,
    form: str | None = None,
    dry_run: bool = False,
) -> Upload:
    """Send the disk in `source` as the image `name`, unless it is there; `form` says what `source` is.

    With `dry_run` nothing is sent. Raises PreflightError if the cloud does not take what is asked for.
    """
    offer = observe_offer(connection)
    chosen = choose_delivery(offer, wishes.disk_format)
    with opened(source, form) as found:
        body, whole = _body(source, found, chosen.form, wishes.packing, progress)
        min_disk = max(wishes.min_disk, -(-found.disk.size // GIB))
        plan = Upload(name, chosen.form, chosen.method, chosen.reason, body.size, min_disk)
        progress.say(f"To send: {body.size:,} bytes of {plan.form}, by {plan.method.value}: {plan.reason}.")
        if dry_run:
            return plan
        if not wishes.one_of_many and (there := _find(connection, name, body, progress)):
            sha256 = str(there.properties[SENT_SHA256])
            return replace(plan, uploaded="before", id=there.id, stored_as=there.disk_format, sha256=sha256)
        if wishes.sha256 and not whole and sha256_of(file_body(source)) != wishes.sha256:
            raise InvalidInputError(
                "It is not the file that was built: its sha256 has changed.", hint="Build it again."
            )
        wish = NewImage(
            name=name,
            disk_format=plan.form,
            min_disk=min_disk,
            min_ram=wishes.min_ram,
            properties={**VIRTIO, **wishes.properties, SENT_SIZE: str(body.size)},
            sum_name=offer.sum_name,
            tags=wishes.tags,
        )
        return _send(connection, plan, wish, body, wishes.sha256 if whole else None, progress)


def _body(source: Path, found: Source, form: str, packing: Packing | None, progress: Progress) -> tuple[Body, bool]:
    """What is sent, and whether that is the file as it is. To know the size of a qcow2, it is made once."""
    with progress.phase(f"Reading {source.name}") as phase:
        disk = found.disk
        phase.result(f"{disk.format}, a disk of {amount(disk.size)}")
        if form == RAW:
            stream = stream_raw(disk)
        elif disk.format == QCOW2 and found.container == "file" and not packing:
            deque(disk.extents(), maxlen=0)  # a pass checks its tables
            return file_body(source), True
        else:
            stream = stream_qcow2(disk, encoding(disk, packing), in_bytes(phase))
        return Body(stream.size, stream.chunks), False


def _find(connection: "Connection", name: str, body: Body, progress: Progress) -> Image | None:
    """The image of that name for which the same bytes were sent; a word about any other of that name."""
    there = [image for image in images_named(connection, name) if image.status == "active"]
    alike = [image for image in there if image.properties.get(SENT_SIZE) == str(body.size)]
    if alike:
        with progress.phase(f"Comparing with the image {name} that is there"):
            sha256 = sha256_of(body)
        for image in alike:
            if image.properties.get(SENT_SHA256) == sha256:
                progress.say(f"Nothing to do: the same bytes are there as {name} ({image.id}).")
                return image
    if there:
        progress.say(f"There is another image {name} ({there[0].id}): two will have that name.")
    return None


def _send(
    connection: "Connection", plan: Upload, wish: NewImage, body: Body, sha256: str | None, progress: Progress
) -> Upload:
    with progress.phase(f"Uploading {plan.name}") as phase:
        stored = upload_image(
            connection,
            wish,
            body,
            method=plan.method,
            sha256=sha256,
            on_bytes=in_bytes(phase),
            on_note=phase.note,
        )
        phase.result(f"{body.size:,} bytes; {stored.proof}")
    if plan.method is Method.IMPORT and stored.disk_format != RAW:
        progress.say(
            f"The cloud keeps it as {stored.disk_format}: its imports do not make raw images. Machines start more "
            "quickly from a raw one: --disk-format raw sends it so."
        )
    return replace(plan, uploaded="now", id=stored.id, stored_as=stored.disk_format, sha256=stored.sha256)
