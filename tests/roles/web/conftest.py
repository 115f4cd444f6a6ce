"""A student's machine that runs in a container, and a browser's place on its network."""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from provision.guests.jupyter import Jupyter
from tests.roles.container import Container, booted
from tests.roles.web.tree import PASSWORD, ensure_web_tree, extract, give

NEW_NETWORK = 0x40000000  # CLONE_NEWNET, as setns(2) takes it
URL = "http://127.0.0.1/"
TIMEOUT = 30.0  # seconds
SERVICES = ("jupyter", "openrefine", "nbdime", "echo")


@pytest.fixture(scope="session")
def web_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, nobody's yet."""
    root = tmp_path_factory.mktemp("web") / "root"
    extract(ensure_web_tree(), root)
    return root


@contextmanager
def on_network_of(machine: Container) -> Iterator[None]:
    """Sockets that this thread opens, and processes that it starts, are on the container's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as ours, Path(f"/proc/{machine.leader}/ns/net").open() as theirs:
        if libc.setns(theirs.fileno(), NEW_NETWORK):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            yield
        finally:
            libc.setns(ours.fileno(), NEW_NETWORK)


class Impatient(HTTPAdapter):
    """Waits for no answer longer than a test may take."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        return super().send(request, *args, **{**options, "timeout": TIMEOUT})


def visit(path: str, method: str = "GET", *, at: str = URL, **options: Any) -> requests.Response:
    """What a stranger's browser gets from the machine that we are on the network of."""
    return requests.request(method, at + path, timeout=TIMEOUT, **options)


def wait_until_ready(*, seconds: float = 90.0) -> dict[str, str]:
    """What /healthz says once every service is ready."""
    end, said = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        try:
            said = visit("healthz").json()
        except requests.RequestException:
            said = {}
        if said and set(said.values()) == {"ready"}:
            return said
        time.sleep(0.3)
    raise AssertionError(f"after {seconds} s /healthz said {said}")


@pytest.fixture(scope="module")
def machine(web_root: Path) -> Iterator[Container]:
    """The tree as a student's machine, up and ready, with us on its network."""
    give(web_root)
    with booted(web_root) as container, on_network_of(container):
        wait_until_ready()
        yield container
    for left in ("etc/provision/student.json", "etc/jupyter/password"):
        (web_root / left).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def student(machine: Container) -> requests.Session:
    """The student's browser, signed in once: nginx counts tries of a password."""
    browser = Jupyter(URL)
    browser.http.mount("http://", Impatient())
    assert browser.sign_in(PASSWORD)
    return browser.http
