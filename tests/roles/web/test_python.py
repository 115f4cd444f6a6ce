"""The Python of a student's notebooks and logins: the course's, with what the student installs."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.guests.jupyter import Jupyter
from tests.roles.container import Container
from tests.roles.web.conftest import URL, wait_until_ready
from tests.roles.web.tree import PASSWORD

HOME = "/home/student"
LEAK = "/srv/elsewhere"  # where a box's own PYTHONPATH leads
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 (the container's own)
FULL = (HOME, *TEMPORARY)
PROJECT = """[project]
name = "ours"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# No build tool is needed: a wheel is a zip file.
BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/ours-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ours.py", "ANSWER = 42\\n")
        wheel.writestr("ours-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: ours\\nVersion: 1\\n")
        wheel.writestr("ours-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("ours-1.dist-info/RECORD", "")
    return "ours-1-py3-none-any.whl"
"""
TOLD = "import json, os; print(os.environ.get('PYTHONPATH'))"
INSTALL = """
import subprocess, sys
pip = [sys.executable, "-m", "pip", "install", "--no-index", *{options}]
done = subprocess.run([*pip, "/srv/ours"], capture_output=True, text=True)
print(done.returncode, done.stderr)
"""


@pytest.fixture
def browser(machine: Container) -> Iterator[Jupyter]:
    """A signed-in student, whose own packages are gone afterwards."""
    yield signed_in()
    machine.run("rm", "-rf", f"{HOME}/.local")


@pytest.fixture
def package(web_root: Path) -> Iterator[None]:
    """The source of a package called ours, on the machine."""
    folder = web_root / "srv/ours"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    yield
    subprocess.run(["rm", "-r", folder], check=True)


def signed_in() -> Jupyter:
    browser = Jupyter(URL)
    assert browser.sign_in(PASSWORD)
    return browser


def restart(machine: Container, *units: str) -> None:
    machine.run("systemctl", "restart", *units)
    time.sleep(1.1)  # what /healthz found is kept for a second
    wait_until_ready()


@pytest.mark.parametrize("options", [["--user"], []])
def test_a_students_own_packages_are_seen_by_notebooks_and_logins(
    machine: Container, browser: Jupyter, package: None, options: list[str]
) -> None:
    assert browser.run(INSTALL.format(options=options), deadline=60).startswith("0")
    where = "import ours; print(ours.ANSWER, ours.__file__)"
    assert browser.run(where, deadline=60).startswith(f"42 {HOME}/.local/lib/")
    login = machine.run("runuser", "--login", "student", "--command", f"python -c '{where}'; command -v pip")
    assert login.startswith(f"42 {HOME}/.local/lib/")
    assert login.endswith("/opt/jupyter/bin/pip")


def test_what_a_student_installs_cannot_break_the_server(machine: Container, browser: Jupyter) -> None:
    site = browser.run("import site; print(site.getusersitepackages())", deadline=60).strip()
    broken = f"mkdir -p {site} && echo 'raise SystemExit' | tee {site}/tornado.py {site}/jupyter_server.py"
    machine.run("runuser", "--login", "student", "--command", broken)
    restart(machine, "jupyter")


def test_a_pythonpath_from_outside_does_not_leak_in(machine: Container, web_root: Path) -> None:
    elsewhere = web_root / LEAK.lstrip("/")
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise SystemExit")
    (web_root / "etc/profile.d/box.sh").write_text(f"export PYTHONPATH={LEAK}\n")
    machine.run("systemctl", "set-environment", f"PYTHONPATH={LEAK}")
    try:
        restart(machine, "jupyter")
        assert signed_in().run(TOLD, deadline=60) == "None\n"
        assert machine.run("runuser", "--login", "student", "--command", f'python -c "{TOLD}"') == "None"
    finally:
        machine.run("systemctl", "unset-environment", "PYTHONPATH")
        (web_root / "etc/profile.d/box.sh").unlink()
        subprocess.run(["rm", "-r", elsewhere], check=True)


def test_a_session_outlives_a_restart_and_not_its_password(machine: Container) -> None:
    browser = signed_in()
    restart(machine, "jupyter")
    assert browser.request("GET", "api/contents").ok
    machine.run("rm", "/etc/jupyter/password")
    restart(machine, "provision-first-boot", "jupyter")
    assert browser.request("GET", "api/contents").status_code == 403


def test_a_full_disk_does_not_stop_it(machine: Container) -> None:
    """The home and both folders of temporary files have not a byte left, and the student can make room."""
    try:
        for folder in FULL:
            machine.run("mount", "--types", "tmpfs", "--options", "size=64k,mode=1777", "full", folder)
            machine.run("sh", "-c", f"head -c 1M /dev/zero >{folder}/fills")
        machine.run("install", "-d", "-o", "student", "-g", "student", HOME, f"{HOME}/notebooks")
        machine.run("mv", f"{HOME}/fills", f"{HOME}/notebooks")
        assert machine.run("df", "--output=avail", *FULL).split()[1:] == ["0"] * len(FULL)
        restart(machine, "jupyter")
        browser = signed_in()
        token = {"X-XSRFToken": str(browser.http.cookies.get("_xsrf"))}
        assert browser.request("DELETE", "api/contents/fills", headers=token).status_code == 204
        assert browser.type("echo room > room", deadline=60)[0] == 0
        machine.run("rm", *(f"{folder}/fills" for folder in TEMPORARY))  # on a real disk that is the same room
        assert browser.run("print(6 * 7)", deadline=60) == "42\n"
    finally:
        for folder in FULL:
            machine.run("umount", "--lazy", folder)
        restart(machine, "jupyter")


def test_every_folder_of_the_course_is_made_again(machine: Container) -> None:
    machine.run("rm", "-rf", f"{HOME}/work", f"{HOME}/openrefine-projects", f"{HOME}/notebooks")
    machine.run("systemd-tmpfiles", "--create", "--boot")  # as systemd-tmpfiles-setup.service does
    for folder in ("work", "work/own", "openrefine-projects", "notebooks"):
        assert machine.run("stat", "--format", "%U:%G %a", f"{HOME}/{folder}") == "student:student 750", folder
