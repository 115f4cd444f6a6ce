"""Glance: the right image is found, an upload is streamed once, verified, and leaves nothing behind when it fails."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.images import CHUNK, find_build, find_image, publish_image
from provision.errors import CapacityError, CloudError, InvalidInputError, NotFoundError, ProvisionError

from .conftest import GLANCE

IMAGES = f"{GLANCE}/v2/images"
DATA = bytes(range(256)) * 8192 + b"end"


def image(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"image{number}",
        "name": "demo-26J",
        "status": "active",
        "owner": "project1",
        "min_disk": 5,
        "min_ram": 512,
        "size": len(DATA),
        "virtual_size": None,
        "created_at": f"2026-11-2{number}T10:00:00Z",
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(DATA).hexdigest(),
        "provision_build": f"build{number}",
        "visibility": "private",
        **more,
    }


def test_the_newest_active_image_is_taken(cloud: Connection, http: rm.Mocker) -> None:
    http.get(IMAGES, json={"images": [image(1), image(3, status="saving"), image(2, virtual_size=5 * 2**30 + 1)]})
    found = find_image(cloud, "demo-26J")
    assert (found.id, found.min_disk, found.smallest_disk) == ("image2", 5, 6)
    assert find_build(cloud, "demo", "26J", "build1") is not None
    assert find_build(cloud, "demo", "26J", "build3") is None


@pytest.mark.parametrize(
    ("there", "words"), [([], "no usable image"), ([image(1, status="queued")], "but it is queued")]
)
def test_an_image_that_is_not_there(cloud: Connection, http: rm.Mocker, there: list[Any], words: str) -> None:
    http.get(IMAGES, json={"images": there})
    with pytest.raises(NotFoundError, match=words):
        find_image(cloud, "demo-26J")


def publish(cloud: Connection, path: Path, sha256: str = hashlib.sha256(DATA).hexdigest()) -> list[tuple[int, int]]:
    path.write_bytes(DATA)
    steps: list[tuple[int, int]] = []
    image_id = publish_image(
        cloud,
        "demo-26J",
        path,
        properties={"provision_build": "build9", "hw_disk_bus": "virtio"},
        min_disk=5,
        min_ram=512,
        disk_format="qcow2",
        sha256=sha256,
        on_bytes=lambda done, total: steps.append((done, total)),
    )
    assert image_id == "image9"
    return steps


def take(request: Any, _context: Any) -> str:
    """Read the body as a server does: requests-mock leaves it."""
    assert b"".join(request.body) == DATA
    return ""


def glance(http: rm.Mocker, *, there: list[Any], **after: Any) -> None:
    http.get(IMAGES, json={"images": there})
    http.post(IMAGES, status_code=201, json={"id": "image9", "status": "queued"})
    http.put(f"{IMAGES}/image9/file", status_code=204, text=take)
    http.get(f"{IMAGES}/image9", json=image(9, **after))
    http.delete(rm.ANY, status_code=204)


def deleted(http: rm.Mocker) -> list[str]:
    return [call.url.rpartition("/")[2] for call in http.request_history if call.method == "DELETE"]


def test_publishing_streams_verifies_and_tidies(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    by_hand = image(4, status="queued")
    del by_hand["provision_build"]
    glance(
        http,
        there=[
            image(1),
            image(2, status="saving"),
            image(3, status="queued", owner="stranger"),
            by_hand,
        ],
    )
    steps = publish(cloud, tmp_path / "image.qcow2")
    assert steps == [(CHUNK, len(DATA)), (2 * CHUNK, len(DATA)), (len(DATA), len(DATA))]
    assert deleted(http) == ["image2"]  # what an interrupted run left; not others' images, nor finished ones
    post = next(call for call in http.request_history if call.method == "POST" and call.url == IMAGES)
    assert json.loads(post.text) == {
        "name": "demo-26J",
        "min_disk": 5,
        "min_ram": 512,
        "disk_format": "qcow2",
        "container_format": "bare",
        "provision_build": "build9",
        "hw_disk_bus": "virtio",
    }
    put = next(call for call in http.request_history if call.method == "PUT")
    assert put.headers["Content-Length"] == str(len(DATA))
    assert put.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("after", "sha256", "kind", "words"),
    [
        ({"os_hash_value": "0" * 128}, None, CloudError, "Glance holds other bytes"),
        ({"os_hash_algo": None, "os_hash_value": None, "size": 7}, None, CloudError, "Glance holds 7 bytes of 2097155"),
        ({"status": "killed"}, None, CloudError, "is killed, not active"),
        ({}, "0" * 64, InvalidInputError, "not the file that was built"),
    ],
)
def test_an_upload_that_is_not_right_is_removed(
    cloud: Connection,
    http: rm.Mocker,
    tmp_path: Path,
    after: dict[str, Any],
    sha256: str | None,
    kind: type[ProvisionError],
    words: str,
) -> None:
    glance(http, there=[], **after)
    with pytest.raises(kind, match=words):
        publish(cloud, tmp_path / "image.qcow2", sha256 or hashlib.sha256(DATA).hexdigest())
    assert deleted(http) == ["image9"]


def test_a_full_store_is_said_and_nothing_is_left(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    glance(http, there=[])
    http.put(f"{IMAGES}/image9/file", status_code=413, text="Denying attempt to upload image larger than the quota.")
    with pytest.raises(CapacityError, match="Uploading image demo-26J failed"):
        publish(cloud, tmp_path / "image.qcow2")
    assert deleted(http) == ["image9"]


def test_a_sum_that_is_unknown_here_falls_back_to_the_size(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    glance(http, there=[], os_hash_algo="sha3_512", os_hash_value="x")
    assert publish(cloud, tmp_path / "image.qcow2")
    assert deleted(http) == []
