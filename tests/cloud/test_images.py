"""Glance: the right image is found, and what is not usable is told from what is not there."""

from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.builds import find_build, find_current
from provision.cloud.images import find_image
from provision.errors import NotFoundError

from .conftest import GLANCE

IMAGES = f"{GLANCE}/v2/images"


def image(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"image{number}",
        "name": "demo-26J",
        "status": "active",
        "owner": "project1",
        "min_disk": 5,
        "min_ram": 512,
        "size": 2**30,
        "virtual_size": None,
        "created_at": f"2026-11-2{number}T10:00:00Z",
        "disk_format": "qcow2",
        "provision_course": "demo",
        "provision_presentation": "26J",
        "provision_number": str(number),
        "provision_build": f"build{number}",
        "visibility": "private",
        **more,
    }


def test_the_newest_active_image_is_taken(cloud: Connection, http: rm.Mocker) -> None:
    http.get(IMAGES, json={"images": [image(1), image(3, status="saving"), image(2, virtual_size=5 * 2**30 + 1)]})
    found = find_image(cloud, "demo-26J")
    assert (found.id, found.min_disk, found.smallest_disk) == ("image2", 5, 6)


PROMOTED = {"provision_promoted": "2026-11-26T10:00:00.000000Z"}


def test_of_builds_the_promoted_one_is_taken(cloud: Connection, http: rm.Mocker) -> None:
    http.get(IMAGES, json={"images": [image(1, **PROMOTED), image(2), image(3, status="saving", **PROMOTED)]})
    assert find_current(cloud, "demo", "26J").id == "image1"
    for reference in ("image1", "build1", "demo-26J:1", "demo-26J"):
        assert find_build(cloud, reference).id == "image1"
    with pytest.raises(NotFoundError, match="no build 'build3'"):  # it is not whole
        find_build(cloud, "build3")


@pytest.mark.parametrize(
    ("there", "words"), [([], "no usable image"), ([image(1, status="queued")], "but it is queued")]
)
def test_an_image_that_is_not_there(cloud: Connection, http: rm.Mocker, there: list[Any], words: str) -> None:
    http.get(IMAGES, json={"images": there})
    with pytest.raises(NotFoundError, match=words):
        find_image(cloud, "demo-26J")
