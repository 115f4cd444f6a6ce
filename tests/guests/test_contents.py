"""What is listed of a guest: made trees in, lists out."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.core.contents import parse_contents
from provision.guests import contents

FILES = {
    "var/lib/dpkg/status": (
        "Package: nginx\nStatus: install ok installed\nDescription: Status: x\nVersion: 1.22.1-9\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    ),
    "opt/jupyter/lib/python3.11/site-packages/jupyter_server-2.17.0.dist-info/METADATA": "",
    "opt/nbdime/lib/python3.11/site-packages/nbdime-4.0.2.dist-info/METADATA": "",
    "usr/lib/python3/dist-packages/attr-1.0.dist-info/METADATA": "",
    "etc/ssh/sshd_config": "# Port 2\nPort 22\n",
    "etc/nginx/nginx.conf": "server {\n  listen 80 default_server;\n  listen [::]:80;\n  listen unix:/x;\n",
    "etc/postgresql/15/main/postgresql.conf": "port = 5432\nlisten_addresses = '127.0.0.1, ::1' # x\n",
    "etc/jupyter/jupyter_server_config.py": 'c.ServerApp.ip = "127.0.0.1"\nc.ServerApp.port = 8888\n',
    "etc/systemd/system/openrefine.service": "[Service]\nExecStart=/usr/bin/refine -i 127.0.0.1 -p 3334 \\\n -x a=b\n",
    "etc/systemd/system/open.service": "[Service]\nExecStart=/usr/bin/x --ip=0.0.0.0 --port=8000\n",
    "etc/systemd/system/not-enabled.service": "[Service]\nExecStart=/usr/bin/x --port=9\n",
    "lib/systemd/system/some.socket": "[Socket]\nListenStream=/run/x\nListenStream=111\n",
    "home/student/notebooks/a.ipynb": "{}",
    "home/student/other": "x",
}
ENABLED = ("ssh.service", "openrefine.service", "open.service", "some.socket")
FOLDER = "/home/student/notebooks"
PORTS = (
    *("*:22", "*:80", "[::]:80", "127.0.0.1:5432", "::1:5432"),
    *("127.0.0.1:8888", "127.0.0.1:3334", "0.0.0.0:8000", "*:111"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name in ENABLED:
        (wants / name).symlink_to(f"/lib/systemd/system/{name}")
    (tmp_path / "home/student/notebooks/link").symlink_to("/etc/passwd")
    return tmp_path


def test_all_of_it(root: Path) -> None:
    found = contents.contents(root, [FOLDER, "/home/student/nowhere"])
    size = found.pop("size")
    assert isinstance(size, int)
    assert size > 0
    assert found == {
        "packages": {"nginx": "1.22.1-9"},
        "pip": {"jupyter-server": "2.17.0", "opt/nbdime: nbdime": "4.0.2"},
        "services": sorted(ENABLED),
        "ports": sorted(PORTS),
        "files": {f"{FOLDER}/a.ipynb": hashlib.sha256(b"{}").hexdigest()},
    }


def test_of_a_large_file_the_size_is_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LARGE", 1)
    assert contents.files(root, [FOLDER]) == {f"{FOLDER}/a.ipynb": 2}


def test_it_runs_by_itself_as_it_is_sent() -> None:
    program = Path(contents.__file__).read_text()
    done = subprocess.run(
        [sys.executable, "-I", "-", "/nowhere"], input=program, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["files"] == {}
    assert parse_contents(done.stdout, "contents.json").size > 0
