"""The client of the readiness probe against a real Jupyter Server on loopback."""

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
from provision.guests.jupyter import Jupyter, JupyterError

PASSWORD = "bdfh-2346-bdfh-2346"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "ServerApp": {"ip": "127.0.0.1", "port": port, "port_retries": 0, "allow_root": True, "root_dir": str(home)},
        "PasswordIdentityProvider": {"hashed_password": jupyter_hash(PASSWORD)},
    }
    (home / "jupyter_server_config.json").write_text(json.dumps(config))
    environment = {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "PATH": "/usr/bin:/bin"}
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


def test_the_password_signs_in_and_no_other(url: str) -> None:
    assert Jupyter(url).sign_in(PASSWORD)
    assert not Jupyter(url).sign_in(PASSWORD + "x")
    assert not Jupyter(url).sign_in("")


def test_a_cell_runs_and_its_kernel_is_removed(url: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(PASSWORD)
    assert browser.run("print(6 * 7)", deadline=60) == "42\n"
    assert browser.http.get(url + "api/kernels", timeout=10).json() == []


def test_a_failing_cell_says_why(url: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(PASSWORD)
    with pytest.raises(JupyterError, match="ZeroDivisionError"):
        browser.run("1 / 0", deadline=60)


def test_a_kernel_needs_a_login(url: str) -> None:
    with pytest.raises(JupyterError, match="403"):
        Jupyter(url).run("print(1)", deadline=10)


def test_nobody_there() -> None:
    with pytest.raises(JupyterError, match="GET /login failed"):
        Jupyter("http://127.0.0.1:9/").sign_in(PASSWORD)


def test_a_terminal_runs_a_command_and_is_removed(url: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(PASSWORD)
    code, shown = browser.type("echo $((6 * 7)); false", deadline=60)
    assert code == 1
    assert "42" in shown
    assert browser.http.get(url + "api/terminals", timeout=10).json() == []


def test_a_command_that_does_not_end(url: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(PASSWORD)
    with pytest.raises(JupyterError, match="terminal"):
        browser.type("sleep 60", deadline=2)
