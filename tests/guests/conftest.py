"""A real Jupyter Server on loopback, with a password."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from provision.guests.credentials import jupyter_hash

PASSWORD = "bdfh-2346-bdfh-2346"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student's home: programs in `bin` and modules in `modules` come before the system's."""
    return tmp_path_factory.mktemp("jupyter")


@pytest.fixture(scope="session")
def password() -> str:
    return PASSWORD


@pytest.fixture(scope="session")
def url(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "ServerApp": {"ip": "127.0.0.1", "port": port, "port_retries": 0, "allow_root": True, "root_dir": str(home)},
        "PasswordIdentityProvider": {"hashed_password": jupyter_hash(PASSWORD)},
    }
    (home / "jupyter_server_config.json").write_text(json.dumps(config))
    environment = {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home),
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(home / "modules"),
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser"]
    with (home / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as server:
        try:
            yield _wait(f"http://127.0.0.1:{port}/", server, home / "log")
        finally:
            server.terminate()


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> str:
    for _ in range(150):
        assert server.poll() is None, log.read_text()
        try:
            requests.get(url + "login", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.2)
        else:
            return url
    raise AssertionError(log.read_text())
