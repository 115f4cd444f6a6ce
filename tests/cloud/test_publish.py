"""Builds on a Glance over a real socket: published, promoted, rolled back, shared, compared, pruned."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from openstack.connection import Connection

from provision.cloud.builds import find_current, observe_builds
from provision.cloud.connection import connect
from provision.core.contents import Change
from provision.errors import CloudError, InvalidInputError, NotFoundError, PreflightError, ProvisionError
from provision.progress import Phase, Silent
from provision.workflows.builds import Manifest, build_folder, find_finished, write_manifest
from provision.workflows.contents import compare
from provision.workflows.publish import Publication, Terms, publish
from provision.workflows.published import accept, list_builds, plan_pruning, promote, prune, rollback, share

from .glance import Glance

PROVED = {"passed": True, "when": "2026-11-26T09:00:00+00:00", "seconds": 100.0, "proofs": {"login": "passed"}}
FAILED = {"passed": False, "when": "2026-11-26T09:00:00+00:00", "seconds": 9.0, "proofs": {"login": "failed: refused"}}
OTHER = "0123456789abcdef0123456789abcdef"
CONTENTS: dict[str, Any] = {"packages": {"nginx": "1"}, "services": ["jupyter.service"], "size": 100}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(number: int, verified: dict[str, Any] | None = PROVED, contents: dict[str, Any] | None = None) -> str:
    """A finished build of the demo course, with a disk of its own; its id."""
    build = f"{number:012x}"
    folder = build_folder("demo", build)
    folder.mkdir(parents=True)
    raw, image = folder / "disk.raw", folder / "image.qcow2"
    raw.write_bytes(hashlib.shake_128(build.encode()).digest(2**20))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
    raw.unlink()
    manifest = Manifest(
        course="demo",
        build=build,
        created=f"2026-11-26T0{number}:00:00+00:00",
        disk_format="qcow2",
        virtual_size=2**20,
        size=image.stat().st_size,
        sha256=hashlib.sha256(image.read_bytes()).hexdigest(),
        source_sha256="5" * 64,
        min_disk=3,
        min_ram=700,
        os_distro="debian",
        toolkit="0.1.0",
        verified=verified,
    )
    write_manifest(folder, manifest)
    (folder / "contents.json").write_text(json.dumps(contents or CONTENTS))
    return build


def send(there: Connection, **terms: Any) -> Publication:
    return publish(there, "demo", "26J", Terms(**terms), Silent())


def names(there: Connection) -> list[tuple[str, bool]]:
    return [(build.name, current) for build, current in list_builds(there, "demo", "26J")]


def test_what_an_image_tells(glance: Glance, there: Connection) -> None:
    build = made(1)
    done = send(there)
    assert (done.name, done.uploaded, done.current) == ("demo-26J:1", "now", True)
    image, listed = glance.images["image1"], glance.images["image2"]
    wanted = {
        "name": "demo-26J",
        "visibility": "private",
        "min_disk": 3,
        "min_ram": 700,
        "hw_disk_bus": "virtio",
        "hw_vif_model": "virtio",
        "os_type": "linux",
        "os_distro": "debian",
        "provision_course": "demo",
        "provision_presentation": "26J",
        "provision_build": build,
        "provision_number": "1",
        "provision_sha256": done.build.manifest.sha256,
        "provision_source_sha256": "5" * 64,
        "provision_toolkit": "0.1.0",
        "provision_verified": PROVED["when"],
        "provision_forced": "false",
        "provision_contents": "image2",
    }
    assert image.items() >= wanted.items()
    assert listed.items() >= {"name": f"demo-26J contents of {build}", "os_hidden": True, "disk_format": "raw"}.items()
    assert json.loads(zstandard.decompress(glance.content["image2"])) == CONTENTS
    assert image["provision_contents_sha256"] == hashlib.sha256(glance.content["image2"]).hexdigest()


def test_what_is_there_is_not_sent_again(glance: Glance, there: Connection) -> None:
    made(1)
    first = send(there)
    before = len([line for line in glance.asked if not line.startswith("GET")])
    again = send(there)
    assert (again.uploaded, again.id, again.current) == ("before", first.id, True)
    assert len([line for line in glance.asked if not line.startswith("GET")]) == before  # nothing at all was changed


def test_the_next_one_is_current_and_the_last_one_stays(there: Connection) -> None:
    made(1)
    send(there)
    made(2)
    assert not send(there, promote=False).current
    assert names(there) == [("demo-26J:1", True), ("demo-26J:2", False)]
    assert find_current(there, "demo", "26J").id == "image1"
    assert send(there).current
    assert names(there) == [("demo-26J:1", False), ("demo-26J:2", True)]
    assert rollback(there, "demo", "26J")[0].number == 1
    assert names(there) == [("demo-26J:1", True), ("demo-26J:2", False)]
    with pytest.raises(NotFoundError, match="roll back to: only demo-26J:1 was ever current"):
        rollback(there, "demo", "26J")
    promote(there, "demo-26J:2", Silent())
    assert find_current(there, "demo", "26J").id == "image3"


def test_promoting_is_one_request(glance: Glance, there: Connection) -> None:
    made(1)
    send(there)
    made(2)
    send(there)
    for reference, changes in (("demo-26J:2", []), (f"{1:012x}", ["PATCH /glance/v2/images/image1"])):
        glance.asked.clear()
        promote(there, reference, Silent())
        assert [line for line in glance.asked if not line.startswith("GET")] == changes
    assert names(there) == [("demo-26J:1", True), ("demo-26J:2", False)]


def test_without_a_current_one_it_is_said(glance: Glance, there: Connection) -> None:
    with pytest.raises(NotFoundError, match="no usable image 'demo-26J'"):
        find_current(there, "demo", "26J")
    made(1)
    send(there, promote=False)
    with pytest.raises(NotFoundError, match="has 1 builds, and none is current") as caught:
        find_current(there, "demo", "26J")
    assert caught.value.hint == "Make one current: provision image promote demo-26J:1."


@pytest.mark.parametrize(
    ("verified", "words"),
    [(None, "was never verified"), (FAILED, r"did not pass its verification \(login: failed: refused\)")],
)
def test_what_is_not_proved_is_not_published(
    glance: Glance, there: Connection, verified: dict[str, Any] | None, words: str
) -> None:
    build = made(1, verified)
    with pytest.raises(PreflightError, match=words) as caught:
        send(there)
    assert "provision image verify" in str(caught.value.hint)
    assert glance.images == {}
    assert not json.loads((build_folder("demo", build) / "manifest.json").read_text())["forced"]
    send(there, force=True)
    finished = find_finished("demo", build)
    assert finished is not None
    assert finished.manifest.forced
    assert glance.images["image1"]["provision_forced"] == "true"
    assert "provision_verified" not in glance.images["image1"]
    write_manifest(finished.folder, replace(finished.manifest, verified=PROVED))  # it is proved afterwards
    send(there)
    assert glance.images["image1"]["provision_forced"] == "false"
    assert glance.images["image1"]["provision_verified"] == PROVED["when"]


class Interrupted:
    """A phase in which Ctrl-C is pressed at the first thing that it tells."""

    def update(self, done: float, total: float, unit: str = "") -> None:
        raise KeyboardInterrupt

    def note(self, text: str) -> None:
        raise KeyboardInterrupt

    def result(self, text: str) -> None:
        raise KeyboardInterrupt


class Interrupting(Silent):
    """Progress that is interrupted within the phase of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        with super().phase(name) as phase:
            yield Interrupted() if name == self.name else phase


def test_ctrl_c_leaves_nothing(glance: Glance, there: Connection) -> None:
    made(1)
    with pytest.raises(KeyboardInterrupt):
        publish(there, "demo", "26J", Terms(), Interrupting("Uploading demo-26J"))
    assert glance.images == {}
    assert glance.made == 1  # it was begun
    assert send(there).current


@pytest.mark.parametrize(
    ("puts", "left", "kind"),
    [
        (["reset", "reset"], [], CloudError),
        (["413"], [], ProvisionError),
        # The image itself is whole: the next run only adds what is missing.
        (["", "reset", "reset"], ["demo-26J"], CloudError),
        (["", "403"], ["demo-26J"], CloudError),
    ],
)
def test_a_failure_leaves_no_half_image(
    glance: Glance, there: Connection, puts: list[str], left: list[str], kind: type[ProvisionError]
) -> None:
    made(1)
    glance.puts = list(puts)
    with pytest.raises(kind):
        send(there)
    assert [image["name"] for image in glance.images.values()] == left
    assert all(image["status"] == "active" for image in glance.images.values())
    assert [current for _, current in names(there)] == [False] * len(left)
    done = send(there)
    assert (done.name, done.current, done.uploaded) == ("demo-26J:1", True, "before" if left else "now")
    assert len(glance.images) == 2


def test_a_connection_that_breaks_once_is_got_over(glance: Glance, there: Connection) -> None:
    made(1)
    glance.puts = ["reset"]
    assert send(there).current
    assert len(glance.images) == 2


def test_a_changed_file_is_refused(glance: Glance, there: Connection) -> None:
    folder = build_folder("demo", made(1))
    with (folder / "image.qcow2").open("r+b") as stream:
        stream.seek(-4096, os.SEEK_END)
        stream.write(b"changed")
    for offers in ({}, {"/schemas/image": {"properties": {"disk_format": {"enum": ["raw"]}}}}):
        glance.offers = offers
        with pytest.raises(InvalidInputError, match="not the file that was built"):
            send(there)
    assert glance.images == {}


def test_a_dry_run_changes_nothing(glance: Glance, there: Connection) -> None:
    build = made(1, verified=None)
    done = send(there, dry_run=True, force=True)
    assert (done.name, done.id, done.uploaded, done.current) == ("demo-26J:1", None, "no", False)
    assert glance.made == 0
    finished = find_finished("demo", build)
    assert finished is not None
    assert not finished.manifest.forced


def test_shared_and_accepted(glance: Glance, there: Connection) -> None:
    made(1)
    send(there)
    share(there, "demo-26J:1", (OTHER,))
    share(there, "demo-26J:1", (OTHER,))  # twice is no error
    assert {glance.images[image]["visibility"] for image in ("image1", "image2")} == {"shared"}
    glance.project = OTHER
    member = connect("campus")
    assert observe_builds(member) == ()
    with pytest.raises(NotFoundError, match="no usable image"):
        find_current(member, "demo", "26J")
    with pytest.raises(NotFoundError, match=r"No builds .* called 'demo-26J:9'. Shared: demo-26J:1 \(image1\)"):
        accept(member, "demo-26J:9")
    accept(member, "demo-26J:1")
    assert find_current(member, "demo", "26J").id == "image1"
    assert compare(lambda: member, "demo-26J:1", "image1") == ()  # what is in it can be read there, too
    for refused in (promote_current, rollback_shared):
        with pytest.raises(PreflightError, match="belongs to project project1: only that project can"):
            refused(member)


def promote_current(member: Connection) -> None:
    promote(member, "demo-26J:1", Silent())


def rollback_shared(member: Connection) -> None:
    """The member's own build was current before the shared one was."""
    made(2)
    publish(member, "demo", "26J", Terms(), Silent())
    share(member, "demo-26J:1", (OTHER,))


def test_what_strangers_offer_is_not_taken(glance: Glance, there: Connection) -> None:
    made(1)
    send(there)
    bait = {**glance.images["image1"], "id": "bait", "owner": "stranger"}
    for visibility in ("community", "shared"):
        glance.images["bait"] = {**bait, "visibility": visibility, "provision_promoted": "2999-01-01T00:00:00.000000Z"}
        assert find_current(there, "demo", "26J").id == "image1"


def test_visibility_can_be_changed(glance: Glance, there: Connection) -> None:
    made(1)
    send(there, visibility="community")
    assert [image["visibility"] for image in glance.images.values()] == ["community", "community"]
    with pytest.raises(PreflightError, match="every project can use it already"):
        share(there, "demo-26J:1", (OTHER,))
    send(there, members=(OTHER,))
    assert [image["visibility"] for image in glance.images.values()] == ["shared", "shared"]
    assert glance.members == {("image1", OTHER): "pending", ("image2", OTHER): "pending"}


def test_any_two_builds_are_compared(glance: Glance, there: Connection) -> None:
    first = made(1)
    second = made(2, contents={**CONTENTS, "packages": {"nginx": "2"}})
    send(there, build=first)
    send(there, build=second)
    change = (Change("package", "nginx", "1", "2"),)
    asked = len(glance.asked)
    assert compare(_no_cloud, first, second) == compare(_no_cloud, first, "demo") == change
    assert len(glance.asked) == asked  # nobody was asked
    for build in (first, second):
        (build_folder("demo", build) / "contents.json").unlink()
    assert compare(lambda: there, "demo-26J:1", "demo-26J") == change
    assert compare(lambda: there, first, "image3") == change


def _no_cloud() -> Connection:
    raise AssertionError("no cloud is needed")


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (lambda glance: glance.content.update(image2=b"other"), InvalidInputError, "its list has changed since"),
        (
            lambda glance: glance.images.pop("image2"),
            NotFoundError,
            "Fetching the list of what is in demo-26J:1 failed",
        ),
        (lambda glance: glance.images["image1"].pop("provision_contents"), NotFoundError, "was not published with it"),
        (lambda glance: glance.content.update(image2=bytes(2**24 + 1)), CloudError, "has more than 16777216 bytes"),
    ],
)
def test_contents_that_cannot_be_had(
    glance: Glance, there: Connection, spoil: Callable[[Glance], object], kind: type[ProvisionError], words: str
) -> None:
    made(1)
    send(there)
    spoil(glance)
    with pytest.raises(kind, match=words):
        compare(lambda: there, "demo-26J:1", "image1")


def test_prune(glance: Glance, there: Connection) -> None:
    for number in range(1, 6):
        send(there, build=made(number))
    images = {build.number: build for build in observe_builds(there)}
    glance.servers = [
        {"id": "s1", "name": "ada", "image": {"id": images[1].id}},
        {"id": "s2", "name": "on a volume", "image": ""},
    ]
    old = {"owner": "project1", "tags": ["provision"], "status": "saving", "provision_course": "demo"}
    old |= {"provision_presentation": "26J", "created_at": "2026-01-01T00:00:00Z"}
    glance.images["half"] = {**old, "id": "half", "name": "demo-26J (unfinished)"}
    glance.images["list"] = {**old, "id": "list", "name": "demo-26J contents of 0", "os_hidden": True}
    glance.images["off"] = {**old, "id": "off", "name": "demo-26J", "status": "deactivated"}
    planned = plan_pruning(there, "demo", None, 0)
    assert [build.number for build in planned.removed] == [2, 3]
    assert {each.id for each in planned.leftovers} == {"half", "list"}
    promote(there, "demo-26J:2", Silent())  # meanwhile somebody goes back to it
    done = prune(there, "demo", None, 0, planned, Silent())
    assert [build.number for build in done.removed] == [3]
    left = {build.number for build in observe_builds(there)}
    assert left == {1, 2, 4, 5}
    assert {"half", "list", images[3].id, images[3].contents}.isdisjoint(glance.images)
    assert "off" in glance.images
    assert len(glance.images) == 2 * len(left) + 1


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("publish demo 26J", 3, "was never verified. No such build is published."),
        ("publish demo 26J --member faculty", 2, "'faculty' is no project's id"),
        (f"publish demo 26J --member {OTHER} --visibility community", 2, "--member shares the image"),
        ("publish demo 26/J", 2, "presentation '26/J'"),
        ("publish demo 26J --build 123", 5, "There is no build 123 of demo here."),
        ("show demo-26J:7", 5, "There is no build 'demo-26J:7' on this cloud."),
        ("promote nothing", 5, "There is no build 'nothing' on this cloud."),
        ("rollback demo 26J", 5, "none was ever current"),
        ("share demo-26J:1", 2, "Name a project with --member PROJECT."),
        ("accept demo-26J:1", 5, "Shared: none."),
        ("prune demo --dry-run", 0, "Nothing is removed."),
        ("list", 0, "There is no such build on this cloud."),
        ("diff demo-26J:1 demo-26J:2", 5, "There is no build 'demo-26J:1' on this cloud."),
    ],
)
def test_the_commands_refuse_clearly(glance: Glance, words: str, code: int, said: str) -> None:
    made(1, verified=None)
    done = run(*words.split())
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert glance.made == 0


def run(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from provision.cli import main; main()", "image"]
    return subprocess.run(
        [*program, *words, "--os-cloud", "campus"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_commands(glance: Glance, there: Connection) -> None:
    first = made(1)
    (row,) = json.loads(run("publish", "demo", "26J", "--format", "json").stdout)
    assert (row["name"], row["build"], row["current"], row["published"]) == ("demo-26J:1", first, True, "now")
    made(2, verified=None)
    done = run("publish", "demo", "26J", "--force", "--format", "csv")
    assert "Warning: build 000000000002 was never verified." in done.stderr
    rows = json.loads(run("list", "--format", "json").stdout)
    assert [(row["number"], row["current"], row["verified"]) for row in rows] == [
        (1, False, PROVED["when"]),
        (2, True, "forced"),
    ]
    assert run("list", "demo").stdout.split()[:4] == ["name", "build", "current", "verified"]
    assert "provision_" not in run("show", "demo-26J").stdout
    assert "demo-26J:1 (build 000000000001) is current." in run("rollback", "demo", "26J").stdout
    refused = run("prune", "demo", "--keep", "0")
    assert refused.returncode != 0
    assert "demo-26J:2" in refused.stdout
    assert len(glance.images) == 4
    assert run("prune", "demo", "--keep", "0", "--yes").returncode == 0
    assert names(there) == [("demo-26J:1", True)]
