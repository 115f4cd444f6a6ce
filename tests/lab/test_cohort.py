"""A cohort on the real cloud: launched through three interruptions, used from outside, deleted without a trace."""

import csv
import errno
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from provision.cloud.connection import connect
from provision.cloud.stacks import observe_stacks
from provision.core.naming import cohort_tag
from provision.core.plan import Stack
from provision.lab.network import NETWORK
from provision.paths import data_path

COURSE, PRESENTATION = "demo", "LAB"
ROSTER = "id;name;email\r\ns001;Ada Lovelace;ada@example.org\r\nt.w_o;Alan Turing;alan@example.org\r\n"
COHORT = f"""\
[cohort]
course = "{COURSE}"
presentation = "{PRESENTATION}"
[cloud]
name = "lab"
[access]
ssh = "{NETWORK}"
"""
PLAIN = ("--progress", "plain")
LAUNCH = ("cohort", "launch", ".", *PLAIN, "--format", "json")
BOOT = 1500  # seconds for two guests under emulation, side by side with whatever else the machine does


def command(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("provision")), *words]


def provision(folder: Path, *words: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def stacks() -> tuple[Stack, ...]:
    return observe_stacks(connect("lab"), cohort_tag(f"{COURSE}-{PRESENTATION}"))


def census() -> dict[str, list[str]]:
    """Everything that a launch can make, by id."""
    cloud = connect("lab")
    network = cloud.network
    listings = {
        "stacks": cloud.orchestration.stacks(),
        "servers": cloud.compute.servers(),
        "ports": network.ports(),
        "routers": network.routers(),
        "floating IPs": network.ips(),
        "networks": network.networks(),
        "subnets": network.subnets(),
        "security groups": network.security_groups(),
        "key pairs": cloud.compute.keypairs(),
    }
    return {kind: sorted(each.id for each in listing) for kind, listing in listings.items()}


@dataclass(frozen=True)
class Launched:
    """A cohort's folder, what was on the cloud before, and the result of the last launch."""

    folder: Path
    before: dict[str, list[str]]
    result: subprocess.CompletedProcess[str]


def interrupted(folder: Path, how: signal.Signals, wanted: int) -> tuple[int, float, str]:
    """Launch, and send a signal once `wanted` stacks are there. Returns exit code, seconds until it ended, stderr."""
    heeding = ["env", "--default-signal=INT", *command(*LAUNCH)]  # what runs in the background ignores it
    run = subprocess.Popen(heeding, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(stacks()) < wanted and run.poll() is None:
        time.sleep(0.5)
    run.send_signal(how)
    sent = time.monotonic()
    said = run.communicate(timeout=60)[1]
    return run.returncode, time.monotonic() - sent, said


@pytest.fixture(scope="module")
def launched(lab: object, proved: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "cohort.toml").write_text(COHORT)
    (folder / "roster.csv").write_text(ROSTER, newline="")
    done = provision(folder, "image", "publish", COURSE, PRESENTATION, "--os-cloud", "lab", seconds=1800)
    assert done.returncode == 0, done.stderr
    before = census()
    try:
        code, seconds, said = interrupted(folder, signal.SIGINT, 1)
        assert (code, seconds < 5) == (130, True), said
        assert "Stopped: 0 of 2 ready" in said
        first = {stack.id for stack in stacks()}
        passwords = (folder / "handouts" / "demo-LAB" / "handout.csv").read_text()
        assert interrupted(folder, signal.SIGKILL, 2)[0] == -signal.SIGKILL
        result = provision(folder, *LAUNCH, seconds=BOOT)
        assert result.returncode == 0, result.stdout + result.stderr
        assert first <= {stack.id for stack in stacks()}
        assert len(stacks()) == 2
        rows = list(csv.DictReader(passwords.splitlines()))
        assert [row["password"] for row in rows] == [row["password"] for row in handouts(folder)]
        yield Launched(folder, before, result)
    finally:
        provision(folder, "cohort", "delete", ".", "--yes", seconds=600)


def handouts(folder: Path) -> list[dict[str, str]]:
    with (folder / "handouts" / "demo-LAB" / "handout.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", ["student", "shared"])
def test_heat_itself_finds_the_templates_sound(lab: object, name: str) -> None:
    answer = connect("lab").orchestration.post(
        "/validate", json={"template": data_path(f"heat/{name}.yaml").read_text()}
    )
    assert answer.status_code == 200, answer.text
    if name == "student":
        assert answer.json()["Parameters"]["password_hash"]["NoEcho"] == "true"


OWN = {"network", "subnet", "router", "router_interface", "security_group"}


@pytest.mark.parametrize(
    ("name", "gateway", "made"),
    [
        ("student", None, {*OWN, "port", "floating_ip", "server"}),
        ("student", "", {"port", "floating_ip", "server"}),
        ("student", "172.24.4.9", {"port", "server"}),
        ("shared", None, OWN),
        ("shared", "", {*OWN, "gateway_group", "gateway_port", "gateway_address", "gateway"}),
    ],
)
def test_heat_itself_makes_of_each_shape_what_it_should(
    launched: Launched, name: str, gateway: str | None, made: set[str]
) -> None:
    cloud = connect("lab")
    image, flavor = next(cloud.image.images()).id, next(cloud.compute.flavors()).id
    network = next(cloud.network.networks(is_router_external=True)).id
    group = next(cloud.network.security_groups()).id
    given = {"external_network": network}
    if name == "student":
        given |= {"student": "x", "server_name": "x", "image": image, "flavor": flavor, "ssh_keys": "ssh-ed25519 AAAA"}
        given |= {"password_hash": "argon2:$argon2id$x"}
        given |= {"shared_network": network, "shared_group": group, "gateway": gateway} if gateway is not None else {}
    elif gateway is not None:
        given |= {"gateway_image": image, "gateway_flavor": flavor, "ssh_cidrs": "192.0.2.0/24"}
    template = data_path(f"heat/{name}.yaml").read_text()
    body = {"stack_name": "preview", "template": template, "parameters": given}
    answer = cloud.orchestration.post("/stacks/preview", json=body)
    assert answer.status_code == 200, answer.text
    assert {each["resource_name"] for each in answer.json()["stack"]["resources"]} == made


def test_every_student_is_ready_at_an_address_of_his_own(launched: Launched) -> None:
    outcomes = json.loads(launched.result.stdout)
    assert [(each["student"], each["state"]) for each in outcomes] == [("s001", "ready"), ("t.w_o", "ready")]
    assert [row["url"] for row in handouts(launched.folder)] == [each["url"] for each in outcomes]
    assert len({each["url"] for each in outcomes}) == 2
    for each in outcomes:
        assert requests.get(each["url"] + "healthz", timeout=30).status_code == 200


def test_nothing_secret_is_printed(launched: Launched) -> None:
    printed = launched.result.stdout + launched.result.stderr
    for row in handouts(launched.folder):
        assert row["password"] not in printed
    assert "PRIVATE KEY" not in printed


def test_launching_again_touches_nothing(launched: Launched) -> None:
    before = (census(), handouts(launched.folder), stacks())
    again = provision(launched.folder, *LAUNCH, seconds=600)
    assert again.returncode == 0, again.stderr
    assert (census(), handouts(launched.folder), stacks()) == before


def test_plan_has_nothing_to_do(launched: Launched) -> None:
    planned = provision(launched.folder, "cohort", "plan", "cohort.toml", "--format", "csv")
    assert [line.split(",")[1] for line in planned.stdout.splitlines()] == ["action", "keep", "keep"], planned.stderr


def test_status_proves_them_again(launched: Launched) -> None:
    done = provision(launched.folder, "cohort", "status", ".", "--format", "json", seconds=600)
    assert [each["state"] for each in json.loads(done.stdout)] == ["ready", "ready"], done.stderr


@pytest.mark.parametrize(
    ("words", "code", "printed"),
    [
        (("id", "-un"), 0, "student"),
        (("exit", "7"), 7, ""),
        (("hostname",), 0, "demo-lab-s001"),
        (("sh -c 'test -r /etc/provision/student.json'",), 1, ""),
    ],
)
def test_ssh_is_the_students_own_shell(launched: Launched, words: tuple[str, ...], code: int, printed: str) -> None:
    done = provision(launched.folder, "ssh", ".", "s001", "--", *words)
    assert (done.returncode, done.stdout.strip()) == (code, printed), done.stderr


def test_the_metadata_service_is_closed_to_the_student(launched: Launched) -> None:
    ask = (
        "import socket\n"
        "with socket.socket() as ours:\n"
        "    ours.settimeout(30)\n"
        "    print(ours.connect_ex(('169.254.169.254', 80)))"
    )
    done = provision(launched.folder, "ssh", ".", "s001", "--", "python3", "-c", shlex.quote(ask))
    assert done.stdout.strip() == str(errno.ECONNREFUSED), done.stderr


def test_ssh_to_nobody(launched: Launched) -> None:
    done = provision(launched.folder, "ssh", ".", "nobody")
    assert done.returncode == 5
    assert "'nobody' has no machine in cohort demo-LAB" in done.stderr


def test_a_launch_without_the_handouts_says_so_and_changes_nothing(launched: Launched) -> None:
    before = stacks()
    done = provision(launched.folder, *LAUNCH, "--handout", "elsewhere")
    assert done.returncode == 4
    assert {each["stage"] for each in json.loads(done.stdout)} == {"handout"}
    assert stacks() == before


@pytest.fixture
def boundless() -> Iterator[str]:
    """A flavor that the quota lets through and no compute node has the disk for."""
    compute = connect("lab-admin").compute
    flavor = compute.create_flavor(name="boundless", vcpus=1, ram=1024, disk=10**6)
    yield flavor.name
    compute.delete_flavor(flavor)


def test_a_stack_that_fails_is_explained_and_the_rest_kept(launched: Launched, boundless: str) -> None:
    (launched.folder / "three.csv").write_text(ROSTER + "s003;Grace Hopper;grace@example.org\r\n", newline="")
    before = {stack.id for stack in stacks()}
    done = provision(launched.folder, *LAUNCH, "--roster", "three.csv", "--flavor", boundless, seconds=900)
    outcome = json.loads(done.stdout)[-1]
    assert (done.returncode, outcome["student"], outcome["state"]) == (4, "s003", "failed"), done.stderr
    assert outcome["stage"] == "server"
    assert "No valid host was found" in outcome["reason"]
    assert before <= {stack.id for stack in stacks()}
    planned = provision(launched.folder, "cohort", "plan", ".", "--roster", "three.csv", "--format", "json")
    assert [each["action"] for each in json.loads(planned.stdout)] == ["keep", "keep", "replace"], planned.stderr


def test_deleting_leaves_nothing(launched: Launched) -> None:
    refused = provision(launched.folder, "cohort", "delete", ".")
    assert refused.returncode != 0
    assert "demo-LAB-s001" in refused.stderr
    assert len(stacks()) >= 2
    done = provision(launched.folder, "cohort", "delete", ".", "--yes", seconds=600)
    assert done.returncode == 0, done.stderr
    assert census() == launched.before
    assert handouts(launched.folder), "handouts are the person's own"
    assert any((launched.folder / "handouts" / "demo-LAB" / "keys").iterdir())
