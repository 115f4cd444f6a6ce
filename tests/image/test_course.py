"""`course init --box` on a real disk: the new course.toml says what is in the box, whatever the box says of itself."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.guests.test_doctor import HEALTHY, Files
from tests.guests.test_offers import BOX
from tests.image.test_inspect import guest, made

CLI = [sys.executable, "-c", "from provision.cli import main; main()", "course"]
EVIL = {
    "/usr/lib/os-release": b'PRETTY_NAME="Debian\x1b[2J\x0b12"\nID=debian\n',
    "/etc/passwd": b"root:x:0:0::/root:\nThe Student:x:1001:1001::/home/the:\n",
    "/etc/systemd/system/shiny.service": b"[Service]\nExecStart=/opt/x --port 3838\n",
    "/etc/systemd/system/multi-user.target.wants/login.service": b"",
    "/etc/systemd/system/login.service": b"[Service]\nExecStart=/opt/login --port=4000\n",
}


def run(folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*CLI, *map(str, words)], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("files", "user"),
    [
        (BOX, {"name": "oustudent", "group": "users", "content": "/home/vagrant/notebooks"}),
        ({**BOX, **EVIL}, {"name": "student", "group": "student", "content": "/home/vagrant/notebooks"}),
    ],
    ids=["box", "evil"],
)
def test_it_is_filled_from_the_box(files: Files, user: dict[str, str], tmp_path: Path) -> None:
    disk = made(tmp_path / "it's.raw", "type=83", guest({**HEALTHY, **files}))
    done = run(tmp_path, "init", "tm351", "--box", disk)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "tm351" / "course.toml").read_text()
    assert "\x1b" not in text
    said = tomllib.loads(text)
    assert said["box"] == {"file": "it's.raw"}
    assert {key: said["user"][key] for key in user} == user
    assert said["machine"]["disk_gb"] == 5  # 4 GiB of room and less than one of files
    assert said["postgresql"] == {"databases": ["tm351"]}
    assert said["openrefine"] == {"memory_mb": 512}
    assert said["application"] == [{"name": "shiny", "title": "shiny", "port": 3838}]
    assert "nbdime" not in said
    assert "beside it" in done.stderr
    assert run(tmp_path, "check", "tm351/course.toml").returncode == 0


def test_a_box_that_is_none_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.box").write_bytes(b"text" * 1000)
    done = run(tmp_path, "init", "tm351", "--box", "x.box")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no disk that we know" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.box"]
