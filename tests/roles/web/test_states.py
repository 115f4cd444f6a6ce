"""What nginx says while something is not there: to people, and to programs."""

import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.roles.container import Container, booted
from tests.roles.web.conftest import SERVICES, URL, on_network_of, visit, wait_until_ready
from tests.roles.web.tree import ROLES, VARIABLES, opened

UNITS = ("nginx", "openrefine", "nbdime", "application-echo", "provision-health")


@pytest.mark.parametrize("unit", UNITS)
def test_our_units_are_hardened(web_root: Path, unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", f"--root={web_root}"]
    done = subprocess.run([*command, f"{unit}.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_second_run_changes_nothing(web_root: Path, tmp_path: Path) -> None:
    with opened(web_root, tmp_path / "play") as run:
        assert run(ROLES, VARIABLES).changed == ()


def test_an_unclaimed_machine_says_so(web_root: Path) -> None:
    with booted(web_root) as machine, on_network_of(machine):
        end, answer = time.monotonic() + 60, visit("lab")
        while "no student yet" not in answer.text and time.monotonic() < end:
            assert "still starting" in answer.text
            time.sleep(0.3)
            answer = visit("lab")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "<h1>This machine has no student yet</h1>" in answer.text
        assert 'http-equiv="refresh"' in answer.text
        health = visit("healthz")
        assert (health.status_code, health.json()) == (503, dict.fromkeys(SERVICES, "starting"))
        for unit in ("jupyter", *UNITS[1:4]):
            shown = machine.run("systemctl", "show", "--property=ActiveState,ConditionResult", unit)
            assert sorted(shown.split()) == ["ActiveState=inactive", "ConditionResult=no"], unit


def test_without_jupyter_there_is_a_page_and_its_phase(machine: Container) -> None:
    assert wait_until_ready() == dict.fromkeys(SERVICES, "ready")
    machine.run("systemctl", "stop", "jupyter")
    time.sleep(1.1)  # what was found is kept for a second
    for path in ("", "lab", "openrefine/", "data/"):
        answer = visit(path)
        assert (answer.status_code, "JupyterLab is starting" in answer.text) == (503, True), path
    health = visit("healthz")
    assert (health.status_code, health.json()) == (503, {**dict.fromkeys(SERVICES, "ready"), "jupyter": "starting"})
    assert visit("static/favicons/favicon.ico").status_code == 200
    machine.run("systemctl", "start", "jupyter")
    wait_until_ready()


def test_without_an_application_there_is_a_page_of_it(machine: Container, student: requests.Session) -> None:
    machine.run("systemctl", "stop", "application-echo")
    time.sleep(1.1)
    health = visit("healthz")
    assert (health.status_code, health.json()["echo"]) == (200, "starting")
    answer = student.get(f"{URL}echo/", headers={"Referer": URL})
    assert (answer.status_code, "Echo &amp; co is still starting" in answer.text) == (503, True)
    machine.run("systemctl", "start", "application-echo")
    wait_until_ready()


def test_without_the_health_service_there_is_a_page_still(machine: Container) -> None:
    machine.run("systemctl", "stop", "provision-health.socket", "provision-health.service", "jupyter")
    for path in ("lab", "healthz"):
        answer = visit(path)
        assert (answer.status_code, "still starting" in answer.text) == (503, True)
    machine.run("systemctl", "start", "provision-health.socket", "jupyter")
    wait_until_ready()
