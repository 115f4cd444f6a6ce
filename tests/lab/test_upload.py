"""An upload to a real Glance, by both ways, and what is left there of one that is interrupted."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from openstack.connection import Connection

from provision.cloud.body import Body, file_body
from provision.cloud.connection import connect
from provision.cloud.images import images_named
from provision.cloud.upload import NewImage, upload_image
from provision.core.delivery import Method
from provision.core.images import Image
from provision.errors import CloudError

CLI = str(Path(sys.executable).with_name("provision"))
MIB = 2**20

pytestmark = pytest.mark.usefixtures("lab")


@pytest.fixture
def cloud() -> Connection:
    return connect("lab")


@pytest.fixture
def name(cloud: Connection) -> Iterator[str]:
    """A name that nothing else has; what bears it is deleted afterwards."""
    name = f"e-upload-{uuid4().hex[:8]}"
    yield name
    for image in there(cloud, name):
        cloud.image.delete_image(image.id)


def there(cloud: Connection, name: str) -> list[Image]:
    return [*images_named(cloud, name), *images_named(cloud, f"{name} (unfinished)")]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of 40 MiB with a partition table's mark, text and noise."""
    path = tmp_path / "disk.raw"
    noise = hashlib.shake_128(b"noise").digest(9 * MIB)
    path.write_bytes(b"x" * 510 + b"\x55\xaa" + b"text " * MIB + bytes(20 * MIB) + noise + bytes(6 * MIB - 512))
    return path


def compared(cloud: Connection, image: str, form: str, disk: Path) -> None:
    """Glance gives back the disk that was sent."""
    got = disk.with_suffix(".got")
    cloud.image.download_image(image, output=str(got), stream=True)
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", form, str(disk), str(got)], check=True)


def test_a_vmdk_becomes_an_image(cloud: Connection, name: str, disk: Path) -> None:
    vmdk = disk.with_suffix(".vmdk")
    stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *stream, str(disk), str(vmdk)], check=True)
    command = [CLI, "image", "upload", str(vmdk), name, "--os-cloud", "lab", "--format", "json"]
    rows = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0] for _ in range(2)]
    assert [row["uploaded"] for row in rows] == ["now", "before"]
    assert rows[0]["id"] == rows[1]["id"]
    (image,) = there(cloud, name)
    assert (image.status, image.disk_format, image.size, image.virtual_size) == (
        "active",
        "qcow2",
        rows[0]["sent"],
        40 * MIB,
    )
    compared(cloud, image.id, "qcow2", disk)


def test_an_import_that_converts(cloud: Connection, name: str, disk: Path) -> None:
    wish = NewImage(name, "raw", 1, 0, {}, "sha512")
    stored = upload_image(cloud, wish, file_body(disk), method=Method.IMPORT, on_bytes=lambda *_: None)
    assert (stored.disk_format, stored.proof) == ("qcow2", "the cloud made qcow2 of it")
    assert [image.name for image in there(cloud, name)] == [name]
    compared(cloud, stored.id, "qcow2", disk)


def test_an_import_that_the_cloud_refuses(cloud: Connection, name: str) -> None:
    wish = NewImage(name, "vmdk", 1, 0, {}, "sha512")
    body = Body(MIB, lambda: iter([bytes(MIB)]))
    with pytest.raises(CloudError, match=r"import of image e-upload-.* failed: Task"):
        upload_image(cloud, wish, body, method=Method.IMPORT, on_bytes=lambda *_: None)
    assert there(cloud, name) == []


INTERRUPTED = """
import os, sys
from provision.cloud.body import Body
from provision.cloud.connection import connect
from provision.cloud.upload import NewImage, upload_image

def chunks():
    for number in range(8):
        if number == 4:
            os.kill(os.getpid(), int(sys.argv[2]))
        yield bytes(2**20)

wish = NewImage(sys.argv[1], "raw", 1, 0, {}, "sha512")
upload_image(connect("lab"), wish, Body(8 * 2**20, chunks), on_bytes=lambda *_: None)
"""


@pytest.mark.parametrize(("number", "left"), [(signal.SIGINT, 0), (signal.SIGKILL, 1)])
def test_an_interrupted_upload(cloud: Connection, name: str, disk: Path, number: signal.Signals, left: int) -> None:
    # A runner that was started in the background ignores SIGINT, and so would what it starts.
    command = ["env", "--default-signal=INT", sys.executable, "-c", INTERRUPTED, name, str(int(number))]
    assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == -number
    assert [image.name for image in there(cloud, name)] == left * [f"{name} (unfinished)"]
    wish = NewImage(name, "raw", 1, 0, {}, "sha512")
    stored = upload_image(cloud, wish, file_body(disk), on_bytes=lambda *_: None)
    assert stored.proof == "its sha512 agrees"
    assert [(image.id, image.name) for image in there(cloud, name)] == [(stored.id, name)]
