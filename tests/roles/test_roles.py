"""The roles on a real Debian: what a run leaves, that a second changes nothing, and that the machine then works."""

import os
import subprocess
from pathlib import Path

from tests.roles.conftest import MARKER, PASSWORD, Applied
from tests.roles.container import booted
from tests.roles.units import foreign_drop_ins, unhardened

ROOT = Path(__file__).resolve().parents[2]
HEALTH = "import requests; print(requests.get('http://127.0.0.1/healthz').status_code)"
LOCKED = "import requests; print('has no student yet' in requests.get('http://127.0.0.1/lab').text)"
SIGN_IN = """
from provision.guests.jupyter import Jupyter
for password in ({password!r}, "vagrant"):
    print(Jupyter("http://127.0.0.1/").sign_in(password))
"""
CELL = """
from provision.guests.jupyter import Jupyter
browser = Jupyter("http://127.0.0.1/")
browser.sign_in({password!r})
print(browser.run("print(6 * 7)", deadline=60))
"""
KEPT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdmZQ== keeper"
SSH = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]

PAGE = """
from provision.guests.jupyter import Jupyter
browser = Jupyter("http://127.0.0.1/")
browser.sign_in("{password}")
print("apputils-extension:announcements" in browser.http.get("http://127.0.0.1/lab").text)
"""


def test_a_second_run_changes_nothing(applied: Applied) -> None:
    assert applied.first.changed
    assert applied.second.changed == ()


def test_nothing_that_was_lent_stays(applied: Applied) -> None:
    words = (MARKER.encode(), b"/run/provision/lent")
    found = [path for path in files(applied.root) if any(word in path.read_bytes() for word in words)]
    assert found == []
    assert not (applied.root / "usr/sbin/policy-rc.d").exists()
    assert not any(MARKER in name for _, folders, _ in os.walk(applied.root) for name in folders)


def files(root: Path) -> list[Path]:
    paths = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_what_anyone_could_use_is_gone(applied: Applied) -> None:
    read = {name: (applied.root / "etc" / name).read_text() for name in ("passwd", "shadow", "ssh/sshd_config")}
    assert "vagrant" not in read["passwd"]
    passwords = {line.split(":")[1] for line in read["shadow"].splitlines()}
    assert passwords <= {"*", "!", "!*"}
    assert "PasswordAuthentication no" in read["ssh/sshd_config"]
    assert not (applied.root / "etc/sudoers.d/vagrant").exists()
    assert not (applied.root / "etc/systemd/system/jupyter-notebook.service").exists()
    assert "student" not in "".join(
        (applied.root / "etc" / name).read_text() for name in ("sudoers", "sudoers.d/student")
    )
    assert not [line for line in (applied.root / "etc/group").read_text().splitlines() if line.endswith(":student")]
    assert (applied.root / "home/keeper/.ssh/authorized_keys").read_text().split() == KEPT.split()
    assert (applied.root / "home/student/notebooks/welcome.ipynb").read_text() == "{}\n"


def test_our_units_are_hardened(applied: Applied) -> None:
    assert unhardened(applied.root) == {}


def test_what_the_box_added_to_units_of_the_same_names_is_gone(applied: Applied) -> None:
    assert foreign_drop_ins(applied.root) == []


def test_unclaimed_it_is_locked(applied: Applied) -> None:
    with booted(applied.root) as machine:
        machine.wait_for(HEALTH, "503")
        assert machine.run("systemctl", "is-active", "jupyter") == "inactive"
        assert machine.run("systemctl", "is-active", "nginx") == "active"
        machine.wait_for(LOCKED, "True")
        assert not (applied.root / "etc/ssh/authorized_keys/student").exists()


def test_claimed_it_serves_its_student(applied: Applied, claim: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(claim)
    key.chmod(0o600)
    with booted(applied.root) as machine:
        machine.wait_for(HEALTH, "200")
        assert machine.python(SIGN_IN.format(password=PASSWORD)).split() == ["True", "False"]
        assert machine.python(CELL.format(password=PASSWORD)) == "42"
        assert machine.python(PAGE.format(password=PASSWORD)) == "True"
        into = ["nsenter", "--target", str(machine.leader), "--net", *SSH, "-i", str(key)]
        who = subprocess.run([*into, "student@127.0.0.1", "id", "-un"], capture_output=True, text=True, check=False)
        assert who.stdout.strip() == "student", who.stderr
        asked = subprocess.run([*into, "student@127.0.0.1", "sudo -n -l"], capture_output=True, text=True, check=False)
        assert (asked.returncode, "a password is required" in asked.stderr) == (1, True)
        (applied.root / "etc/sudoers.d/some").write_text("%student ALL=(root) NOPASSWD: /bin/true\n")
        asked = subprocess.run([*into, "student@127.0.0.1", "sudo -n -l"], capture_output=True, text=True, check=False)
        (applied.root / "etc/sudoers.d/some").unlink()
        assert (asked.returncode, "NOPASSWD: /bin/true" in asked.stdout) == (0, True), "of which the proof makes use"
        stranger = subprocess.run([*into, "root@127.0.0.1", "id"], capture_output=True, text=True, check=False)
        assert "Permission denied (publickey)" in stranger.stderr
        # A few tries of a password in a moment are still a person's; thirty are not.
        many = (
            "import requests; print({requests.post('http://127.0.0.1/login').status_code for _ in range(30)} >= {429})"
        )
        assert machine.python(many) == "True"


def test_deleted_folders_are_healed(applied: Applied, claim: str) -> None:
    home = applied.root / "home/student"
    moved = applied.root / "home/moved"
    home.rename(moved)
    try:
        with booted(applied.root) as machine:
            machine.wait_for(HEALTH, "200")
            assert machine.run("stat", "--format", "%U:%G %a", "/home/student/notebooks") == "student:student 750"
    finally:
        subprocess.run(["rm", "-rf", home], check=True)
        moved.rename(home)
