"""Which form of a disk a cloud gets, and by which way: decided from what the cloud says of itself."""

from dataclasses import dataclass
from enum import Enum

from provision.errors import PreflightError

AUTO, QCOW2, RAW = "auto", "qcow2", "raw"
CLONING = "rbd"  # Ceph: a machine's disk is a clone of a raw image, made at once; of a qcow2 it is a copy


class Method(Enum):
    """How the bytes get into Glance."""

    PUT = "upload"  # PUT .../file: they are stored as they are
    IMPORT = "import"  # PUT .../stage and POST .../import: the cloud may convert them first


@dataclass(frozen=True)
class Offer:
    """What a cloud says of its image service.

    `store` is the kind of the store that it keeps images in (rbd, file, swift ...), `evidence` how that is known.
    `formats` are the disk formats that it takes; where it does not say it, there are none. `imports`: it takes staged
    images (glance-direct). `sum_name` is the name of the sum that it makes of an image, as hashlib spells it.
    """

    store: str | None = None
    evidence: str = ""
    formats: frozenset[str] = frozenset()
    imports: bool = False
    sum_name: str = "sha512"


@dataclass(frozen=True)
class Delivery:
    """What is sent (`form`: qcow2 or raw), how, and why."""

    form: str
    method: Method
    reason: str


def choose_delivery(offer: Offer, wanted: str = AUTO) -> Delivery:
    """What to send to the cloud that makes this offer; `wanted` is what the person asked for.

    Raises PreflightError if the cloud does not take that format.
    """
    taken = [form for form in (QCOW2, RAW) if form in offer.formats or not offer.formats]
    if not taken or wanted not in (AUTO, *taken):
        raise PreflightError(
            f"This cloud takes no {'qcow2 or raw' if wanted == AUTO else wanted} images; "
            f"it takes {', '.join(sorted(offer.formats))}.",
            hint=f"Leave --disk-format out, or say {taken[0]}." if taken else "Ask the operator which images to send.",
        )
    if wanted != AUTO:
        return Delivery(wanted, Method.PUT, "you asked for it")
    if len(taken) == 1:
        return Delivery(taken[0], Method.PUT, f"of qcow2 and raw this cloud takes {taken[0]} alone")
    return _for_store(offer)


def _for_store(offer: Offer) -> Delivery:
    store = f"its store is {offer.store} ({offer.evidence})"
    if offer.store == CLONING and offer.imports:
        return Delivery(QCOW2, Method.IMPORT, f"{store}, which clones raw images, and an import may make it raw there")
    if offer.store == CLONING:
        return Delivery(RAW, Method.PUT, f"{store}, which clones raw images, and it offers no import that makes them")
    if offer.store is None:
        return Delivery(QCOW2, Method.PUT, "it is the smallest, and the cloud does not say what its store is")
    return Delivery(QCOW2, Method.PUT, f"it is the smallest, and {store}, which keeps what it is given")
