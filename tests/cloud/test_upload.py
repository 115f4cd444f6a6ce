"""An upload over a real socket: streamed, compared, and named last; whatever happens, no half image stays."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from provision.cloud.body import Body, file_body, sha256_of
from provision.cloud.upload import NewImage, Stored, upload_image
from provision.core.delivery import Method
from provision.disks.extents import Packing
from provision.errors import CapacityError, CloudError, InvalidInputError, ProvisionError
from provision.progress import Silent
from provision.workflows.upload import Wishes, upload

from .glance import Glance

MIB = 2**20
CHUNK = 2**18
DATA = bytes(range(256)) * 8192 + b"end"  # eight chunks and three bytes
WISH = NewImage("course", "qcow2", 5, 512, {"hw_disk_bus": "virtio"}, "sha512")
IMPORT, PUT = Method.IMPORT, Method.PUT


def chunks() -> Iterator[bytes]:
    for place in range(0, len(DATA), CHUNK):
        yield DATA[place : place + CHUNK]


def send(there: Connection, body: Body | None = None, wish: NewImage = WISH, **more: Any) -> Stored:
    options: dict[str, Any] = {"on_bytes": lambda *_: None, **more}
    return upload_image(there, wish, body or Body(len(DATA), chunks), **options)


def changes(glance: Glance) -> list[str]:
    """What was asked of Glance that changes something."""
    asked = [line.split("/", 1) for line in glance.asked if not line.startswith("GET") and "/v3/" not in line]
    return [f"{verb}{path.removeprefix('glance/v2/images')}" for verb, path in asked]


def test_it_is_streamed_compared_and_named_last(glance: Glance, there: Connection) -> None:
    steps: list[tuple[int, int]] = []
    stored = send(there, on_bytes=lambda *step: steps.append(step))
    sha256 = hashlib.sha256(DATA).hexdigest()
    assert stored == Stored("image1", len(DATA), "qcow2", sha256, "its sha512 agrees")
    assert glance.bodies == [DATA]
    assert changes(glance) == ["POST ", "PUT /image1/file", "PATCH /image1"]
    assert glance.headers[0]["Content-Length"] == str(len(DATA))
    assert glance.headers[0]["Content-Type"] == "application/octet-stream"
    assert "Transfer-Encoding" not in glance.headers[0]
    assert steps[0] == (CHUNK, len(DATA))
    assert steps[-1] == (len(DATA), len(DATA))
    image = glance.images["image1"]
    wanted = {
        "min_disk": 5,
        "min_ram": 512,
        "disk_format": "qcow2",
        "container_format": "bare",
        "hw_disk_bus": "virtio",
    }
    assert image.items() >= {**wanted, "name": "course", "provision_sent_sha256": sha256}.items()


def test_it_has_another_name_until_then(glance: Glance, there: Connection) -> None:
    names: list[str] = []
    send(there, on_bytes=lambda *_: names.extend(image["name"] for image in glance.images.values()))
    assert set(names) == {"course (unfinished)"}


@pytest.mark.parametrize(
    ("puts", "asked"),
    [
        # the half image is gone before the next is begun
        (["reset"], ["POST ", "PUT /image1/file", "DELETE /image1", "POST ", "PUT /image2/file", "PATCH /image2"]),
        (["old token"], ["POST ", "PUT /image1/file", "PUT /image1/file", "PATCH /image1"]),
        # every byte was sent: the image itself says whether it has them
        (["lost"], ["POST ", "PUT /image1/file", "PATCH /image1"]),
        (["504 taken"], ["POST ", "PUT /image1/file", "PATCH /image1"]),
    ],
)
def test_what_it_gets_over(glance: Glance, there: Connection, puts: list[str], asked: list[str]) -> None:
    glance.puts = list(puts)
    assert send(there).proof == "its sha512 agrees"
    assert changes(glance) == asked
    assert [image["name"] for image in glance.images.values()] == ["course"]
    assert glance.bodies == [DATA]
    assert glance.tokens == (2 if puts == ["old token"] else 1)


NO_SUMS = {"os_hash_algo": None, "os_hash_value": None}
OLD = NewImage("course", "qcow2", 5, 512, {}, "md5")


@pytest.mark.parametrize(
    ("puts", "faults", "more", "kind", "words"),
    [
        ([], {"os_hash_value": "0" * 128}, {}, CloudError, "Glance holds other bytes"),
        ([], {**NO_SUMS, "checksum": "0" * 32}, {"wish": OLD}, CloudError, "Glance holds other bytes"),
        ([], {**NO_SUMS, "size": 7}, {}, CloudError, "Glance holds 7 bytes of 2097155"),
        ([], {"status": "killed"}, {}, CloudError, "is killed, not active"),
        ([], {}, {"sha256": "0" * 64}, InvalidInputError, "not the file that was built"),
        (["reset", "reset"], {}, {}, CloudError, r"The connection broke .* of 2097155 bytes"),
        (["413"], {}, {}, CapacityError, "Uploading image course failed.*No space left"),
        (["409"], {}, {}, CloudError, "It is in use, or exists already"),
        (["403"], {}, {}, CloudError, "role does not allow"),
        (["507"], {}, {}, CapacityError, "The store that the cloud keeps its images in is full"),
        (["500"], {}, {"method": IMPORT}, CapacityError, "The store that the cloud keeps its images in is full"),
        (["lost", "lost"], {}, {"method": IMPORT}, CloudError, "was sent, and no answer came"),
        ([], {"size": 7}, {"method": IMPORT}, CloudError, "Glance took 7 bytes of 2097155"),
    ],
)
def test_what_it_does_not_get_over(
    glance: Glance,
    there: Connection,
    puts: list[str],
    faults: dict[str, Any],
    more: dict[str, Any],
    kind: type[ProvisionError],
    words: str,
) -> None:
    glance.puts, glance.faults = list(puts), faults
    with pytest.raises(kind, match=words):
        send(there, **more)
    assert glance.images == {}
    assert glance.puts == []


def test_a_cloud_that_hangs_up_early(glance: Glance, there: Connection) -> None:
    glance.puts = ["413 early", "413 early"]  # whether its answer can still be read then, the kernels decide
    with pytest.raises(ProvisionError, match=r"A quota or a limit is used up|The connection broke"):
        send(there)
    assert glance.images == {}


def bad_grain() -> Iterator[bytes]:
    yield DATA[:CHUNK]
    raise InvalidInputError("The grain at byte 262144 is damaged.")


def bad_drive() -> Iterator[bytes]:
    yield DATA[:CHUNK]
    raise ConnectionResetError(5, "Input/output error")


def one_more() -> Iterator[bytes]:
    yield from chunks()
    yield b"!"


@pytest.mark.parametrize("method", [PUT, IMPORT])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (bad_grain, "The grain at byte 262144 is damaged"),
        (bad_drive, "The source cannot be read: Input/output error"),
        (lambda: iter([DATA[:-1]]), "no longer 2097155 bytes"),
        (one_more, "no longer 2097155 bytes"),
    ],
)
def test_a_source_that_fails_half_way(
    glance: Glance, there: Connection, method: Method, body: Callable[[], Iterator[bytes]], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        send(there, Body(len(DATA), body), method=method)
    assert glance.images == {}
    assert changes(glance)[-1] == "DELETE /image1"  # and it was not tried again


def test_ctrl_c(glance: Glance, there: Connection) -> None:
    def interrupt(done: int, _: int) -> None:
        if done > len(DATA) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(there, on_bytes=interrupt)
    assert glance.images == {}


def test_what_cannot_be_removed_is_named(glance: Glance, there: Connection) -> None:
    glance.keeps = True
    with pytest.raises(InvalidInputError, match="grain") as caught:
        send(there, Body(len(DATA), bad_grain))
    assert "The unfinished image image1 is left: the next upload of course removes it" in str(caught.value.hint)


def test_what_a_killed_upload_left_is_removed(glance: Glance, there: Connection) -> None:
    left = {"status": "saving", "owner": "project1", "name": "course (unfinished)"}
    others = {"a": {"owner": "stranger"}, "b": {"name": "course"}, "c": {"name": "other (unfinished)"}, "d": {}}
    glance.images = {key: {"id": key, **left, **other} for key, other in others.items()}
    send(there)
    assert sorted(glance.images) == ["a", "b", "c", "image1"]


@pytest.mark.parametrize(
    ("converts_to", "disk_format", "proof"),
    [("raw", "raw", "the cloud made raw of it"), (None, "qcow2", "its sha512 agrees")],
)
def test_an_import(glance: Glance, there: Connection, converts_to: str | None, disk_format: str, proof: str) -> None:
    glance.converts_to = converts_to
    stored = send(there, method=IMPORT)
    assert (stored.disk_format, stored.proof) == (disk_format, proof)
    assert glance.bodies[0] == DATA
    assert changes(glance) == ["POST ", "PUT /image1/stage", "POST /image1/import", "PATCH /image1"]
    assert glance.images["image1"]["provision_sent_sha256"] == hashlib.sha256(DATA).hexdigest()


def test_an_import_that_still_writes(glance: Glance, there: Connection) -> None:
    glance.task_reads = 2
    stored = send(there, method=IMPORT)
    assert glance.images[stored.id]["name"] == "course"


def test_an_import_that_fails(glance: Glance, there: Connection) -> None:
    glance.import_fails = "Image has disallowed\nconfiguration"
    with pytest.raises(CloudError, match="import of image course failed: Image has disallowed config"):
        send(there, method=IMPORT)
    assert glance.images == {}


@pytest.mark.parametrize(
    ("faults", "wish", "proof"),
    [(NO_SUMS, OLD, "its md5 agrees"), ({"os_hash_algo": "sha3_512", "os_hash_value": "x"}, WISH, "its size agrees")],
)
def test_other_sums(glance: Glance, there: Connection, faults: dict[str, Any], wish: NewImage, proof: str) -> None:
    glance.faults = faults
    assert send(there, wish=wish).proof == proof


def test_a_file_as_a_body(glance: Glance, there: Connection, tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    path.write_bytes(DATA)
    body = file_body(path)
    assert send(there, body).sha256 == sha256_of(body) == hashlib.sha256(DATA).hexdigest()
    assert glance.bodies == [DATA]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of 40 MiB, with data here and there and a partition table's mark."""
    path = tmp_path / "disk.raw"
    noise = hashlib.shake_128(b"noise").digest(3 * MIB)
    path.write_bytes(b"x" * 510 + b"\x55\xaa" + bytes(20 * MIB) + b"text " * MIB + noise + bytes(12 * MIB - 512))
    return path


def made(disk: Path, form: str, *options: str) -> Path:
    target = disk.with_suffix(f".{form}")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, str(disk), str(target)], check=True)
    return target


def compared(disk: Path, form: str, content: bytes) -> None:
    """The disk that was sent is the disk."""
    sent = disk.with_suffix(".sent")
    sent.write_bytes(content)
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", form, str(disk), str(sent)], check=True)


class Told(Silent):
    """What was said, and how many images there were at that time."""

    def __init__(self, glance: Glance) -> None:
        self.glance, self.lines = glance, list[tuple[int, str]]()

    def say(self, text: str) -> None:
        self.lines.append((self.glance.made, text))


DIRECT = {"import-methods": {"value": ["glance-direct"]}}
CEPH = {"stores": [{"id": "x", "type": "rbd", "default": "true"}]}


@pytest.mark.parametrize(
    ("offers", "wishes", "form", "method"),
    [
        ({}, Wishes(), "qcow2", PUT),
        ({}, Wishes(packing=Packing.DEFLATE), "qcow2", PUT),
        ({"/info/stores/detail": CEPH}, Wishes(), "raw", PUT),
        ({"/info/stores/detail": CEPH, "/info/import": DIRECT}, Wishes(), "qcow2", IMPORT),
        ({"/info/stores/detail": CEPH, "/info/import": DIRECT}, Wishes(disk_format="raw"), "raw", PUT),
    ],
)
def test_a_vmdk_is_sent_as_the_cloud_wants_it(
    glance: Glance, there: Connection, disk: Path, offers: dict[str, Any], wishes: Wishes, form: str, method: Method
) -> None:
    glance.offers, told = offers, Told(glance)
    source = made(disk, "vmdk", "-o", "subformat=streamOptimized")
    planned = upload(there, source, "course", wishes, told, dry_run=True)
    assert (planned.uploaded, planned.form, planned.method, glance.made) == ("no", form, method, 0)
    done = upload(there, source, "course", wishes, told)
    assert (done.uploaded, done.sent, done.min_disk, done.stored_as) == ("now", planned.sent, 1, form)
    assert told.lines[1] == (0, f"To send: {done.sent:,} bytes of {form}, by {method.value}: {done.reason}.")
    assert len(glance.bodies[0]) == done.sent
    compared(disk, form, glance.bodies[0])
    kept = "The cloud keeps it as qcow2: its imports do not make raw images."
    assert any(line.startswith(kept) for _, line in told.lines) == (method is IMPORT)
    again = upload(there, source, "course", wishes, told)
    assert (again.uploaded, again.id, again.sha256, glance.made) == ("before", done.id, done.sha256, 1)


def test_a_qcow2_is_sent_as_it_is(glance: Glance, there: Connection, disk: Path) -> None:
    source = made(disk, "qcow2", "-c")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    asked = Wishes(properties={"hw_disk_bus": "sata", "os_distro": "debian"}, min_disk=9, min_ram=700, sha256=sha256)
    assert upload(there, source, "course", asked, Silent()).sha256 == sha256
    properties = {"hw_disk_bus": "sata", "hw_vif_model": "virtio", "os_distro": "debian", "min_disk": 9, "min_ram": 700}
    assert glance.images["image1"].items() >= properties.items()
    with pytest.raises(InvalidInputError, match="not the file that was built"):
        upload(there, source, "other", Wishes(sha256="0" * 64), Silent())


def test_another_image_of_that_name_is_said(glance: Glance, there: Connection, disk: Path) -> None:
    same_size = {"provision_sent_size": str(40 * MIB), "provision_sent_sha256": "0" * 64}
    glance.images["old"] = {"id": "old", "name": "course", "status": "active", "owner": "project1", **same_size}
    told = Told(glance)
    assert upload(there, disk, "course", Wishes("raw"), told).uploaded == "now"
    assert told.lines[-1] == (0, "There is another image course (old): two will have that name.")
    assert sorted(glance.images) == ["image1", "old"]


def test_a_damaged_grain_leaves_nothing(glance: Glance, there: Connection, disk: Path) -> None:
    source = made(disk, "vmdk", "-o", "subformat=streamOptimized")
    content = bytearray(source.read_bytes())
    content[2 * MIB] ^= 0xFF  # in the noise, which is most of the file
    source.write_bytes(content)
    with pytest.raises(InvalidInputError, match="at byte"):
        upload(there, source, "course", Wishes(), Silent())
    assert glance.images == {}
    assert changes(glance)[-2:] == ["PUT /image1/file", "DELETE /image1"]


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--dry-run"], 0, "To send: 41,943,040 bytes of raw, by upload: of qcow2 and raw this cloud takes raw alone."),
        (["--disk-format", "qcow2"], 3, "This cloud takes no qcow2 images; it takes raw."),
        (["--property", "os_distro"], 2, "'os_distro' is no property that can be set so"),
        (["--property", "name=x"], 2, "'name' is no property that can be set so"),
        (["--reencode", "lzma"], 2, "lzma"),
    ],
)
def test_the_command(glance: Glance, disk: Path, options: list[str], code: int, words: str) -> None:
    glance.offers = {"/schemas/image": {"properties": {"disk_format": {"enum": [None, "raw"]}}}}
    program = [sys.executable, "-c", "from provision.cli import main; main()", "image", "upload"]
    command = [*program, str(disk), "course", "--os-cloud", "campus", "--format", "json", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert not any(line.startswith(("POST /glance", "PUT")) for line in glance.asked)
    if not code:
        (row,) = json.loads(done.stdout)
        assert (row["sent"], row["form"], row["uploaded"], row["id"]) == (40 * MIB, "raw", "no", None)
