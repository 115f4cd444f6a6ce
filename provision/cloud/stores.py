"""Asking Glance, before anything is sent, what it takes and what it keeps images in."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provision.cloud.connection import translated
from provision.core.delivery import CLONING, Offer

if TYPE_CHECKING:
    from openstack.connection import Connection

_KINDS = ("rbd", "file", "swift", "s3", "cinder", "vsphere")
_SILENT = (400, 403, 404, 405, 501)  # old clouds, and answers that are for the operator alone


def observe_offer(connection: "Connection") -> Offer:
    """What the cloud says of its image service to this user. Which import plugins it runs, no cloud tells."""
    schema = _ask(connection, "/schemas/image").get("properties", {})
    formats = schema.get("disk_format", {}).get("enum", [])
    methods = _ask(connection, "/info/import").get("import-methods", {}).get("value", [])
    store, evidence = _store(connection)
    return Offer(
        store=store,
        evidence=evidence,
        formats=frozenset(form for form in formats if form),
        imports="glance-direct" in methods,
        sum_name="sha512" if "os_hash_algo" in schema else "md5",  # before Rocky Glance had its md5 checksum alone
    )


def _store(connection: "Connection") -> tuple[str | None, str]:
    """The kind of the store that an image goes to, and how that is known."""
    # The kind is for operators only. Who else asks learns the stores' names, and nothing where there is but one.
    stores = _ask(connection, "/info/stores/detail").get("stores") or _ask(connection, "/info/stores").get("stores", [])
    ours: Mapping[str, Any] = next((store for store in stores if str(store.get("default")).lower() == "true"), {})
    if kind := ours.get("type"):
        return str(kind), "it says so"
    if kind := _seen(connection, ours.get("id")):
        return kind, "an image's address there says so"
    if re.search(r"rbd|ceph", f"{ours.get('id')} {ours.get('description')}", re.IGNORECASE):
        return CLONING, "its name says so"
    return None, ""


def _seen(connection: "Connection", store: str | None) -> str | None:
    """The scheme of an image's address: clouds on Ceph show it, for Nova needs it to clone."""
    images = _ask(connection, "/images?status=active&limit=50").get("images", [])
    for image in images:
        kind = urlsplit(image.get("direct_url") or "").scheme.partition("+")[0]  # such as swift+https
        if kind in _KINDS and (store is None or store in str(image.get("stores", store)).split(",")):
            return kind
    return None


def _ask(connection: "Connection", path: str) -> Mapping[str, Any]:
    """The answer, or nothing where the cloud does not give it to this user."""
    from openstack.exceptions import raise_from_response

    with translated("Asking what the image service takes"):
        response = connection.image.get(path)
        if response.status_code in _SILENT:
            return {}
        raise_from_response(response)
        answer = response.json()
        return answer if isinstance(answer, dict) else {}
