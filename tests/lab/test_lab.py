"""The embedded cloud as a person and as the plain client meet it. Nothing here touches what others made in it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision import paths
from provision.cloud.connection import connect

BIN = Path(sys.executable).parent
FLAVORS = {"m1.tiny": (1, 512, 5), "m1.small": (1, 1024, 20), "m1.medium": (2, 2048, 40), "m1.large": (2, 4096, 80)}

pytestmark = pytest.mark.usefixtures("lab")


def provision(*words: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "provision"), "lab", *words]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds
    )


def status() -> dict[str, object]:
    return dict(json.loads(provision("status", "--format", "json").stdout))


def test_every_service_is_well_and_within_its_memory() -> None:
    found = status()
    assert found["healthy"], found
    services = found["services"]
    assert isinstance(services, list)
    assert all(one["version"] and one["memory_mib"] for one in services if one["name"] not in ("system", "guests"))
    assert sum(one["memory_mib"] for one in services if one["name"] != "guests") < 4096
    assert found["acceleration"] in ("KVM", "TCG")


def test_the_plain_client_finds_it_by_env() -> None:
    exports = dict(
        word.split("=", 1) for line in provision("env").stdout.splitlines() for word in shlex.split(line)[1:]
    )
    client = [str(BIN / "openstack"), "token", "issue", "-f", "value", "-c", "project_id"]
    done = subprocess.run(
        client, check=False, env={**os.environ, **exports}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == connect("lab").current_project_id, done.stderr


def test_its_passwords_are_private() -> None:
    assert paths.lab_clouds_file().stat().st_mode & 0o077 == 0


def test_what_it_holds() -> None:
    cloud = connect("lab")
    found = {one.name: (one.vcpus, one.ram, one.disk) for one in cloud.compute.flavors()}
    assert FLAVORS.items() <= found.items()
    subnet = next(iter(connect("lab-admin").network.subnets(name="public-subnet")))
    assert subnet.cidr == "172.24.4.0/24"
    assert subnet.allocation_pools == [{"start": "172.24.4.10", "end": "172.24.4.200"}]


def test_a_second_project_sees_nothing_of_the_first() -> None:
    cloud = connect("lab")
    network = cloud.network.create_network(name="lab-test-private")
    try:
        assert network.id not in {one.id for one in connect("lab-second").network.networks()}
    finally:
        cloud.network.delete_network(network)


def test_exec_passes_on_output_and_exit_code() -> None:
    done = provision("exec", "--", "sh", "-c", "hostname; exit 7")
    assert (done.stdout, done.returncode) == ("lab\n", 7)


def test_logs_are_of_the_service_asked_for() -> None:
    assert "READY" in provision("logs", "lab-ready", "-n", "500").stdout.upper()
    unknown = provision("logs", "nova-cupboard")
    assert unknown.returncode == 5
    assert "nova-compute" in unknown.stderr


@pytest.mark.parametrize("verb", ["reset", "destroy"])
def test_nothing_is_deleted_while_nobody_is_there_to_say_yes(verb: str) -> None:
    refused = provision(verb)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr


def test_a_cloud_for_guests_is_not_turned_into_a_fake_one() -> None:
    refused = provision("up", "--yes", "--fake")
    assert refused.returncode == 3
    assert "reset --fake" in refused.stderr


def test_down_and_an_interrupted_up_lose_nothing() -> None:
    cloud = connect("lab")
    network = cloud.network.create_network(name="lab-test-kept")
    try:
        assert provision("down").returncode == 0
        assert provision("status").returncode == 5
        interrupted = subprocess.Popen([str(BIN / "provision"), "lab", "up", "--yes"], stderr=subprocess.DEVNULL)
        time.sleep(8)
        interrupted.send_signal(signal.SIGKILL)
        interrupted.wait()
        assert provision("up", "--yes", seconds=600).returncode == 0
        assert connect("lab").network.find_network(network.id) is not None
        assert status()["healthy"]
    finally:
        connect("lab").network.delete_network(network.id)
