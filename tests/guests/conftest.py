"""A real Jupyter Server on loopback, with a password."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest

from provision.guests.credentials import jupyter_hash

from .sshd import Sshd, sshd

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
    with served(home, "http", {}) as url:
        yield url


@pytest.fixture
def tls_url(tmp_path: Path) -> Iterator[str]:
    """A server whose certificate nobody vouches for."""
    files = {"certfile": str(tmp_path / "certificate.pem"), "keyfile": str(tmp_path / "key.pem")}
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=machine"]
    written = ["-out", files["certfile"], "-keyout", files["keyfile"]]
    subprocess.run(["openssl", "req", *made, *written], check=True, capture_output=True)
    with served(tmp_path, "https", files) as url:
        yield url


@contextmanager
def served(home: Path, scheme: str, files: dict[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": port,
            "port_retries": 0,
            "allow_root": True,
            "root_dir": str(home),
            **files,
        },
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
            yield _wait(f"{scheme}://127.0.0.1:{port}/", server, home / "log")
        finally:
            server.terminate()


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> str:
    host, _, port = urlsplit(url).netloc.partition(":")
    for _ in range(150):
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return url
    raise AssertionError(log.read_text())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A machine to which ssh leads, and a place of our own for what an ssh of ours leaves while it runs."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with sshd(tmp_path) as running, TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield running
