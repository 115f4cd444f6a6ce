"""A simulated cloud for each test, in clouds.yaml as `campus`, with time that takes none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import world
from .clock import VirtualClock
from .faults import Setup
from .server import Simulator, simulator_on_a_socket
from .staff import Operator


@contextmanager
def a_simulator(folder: Path, patch: pytest.MonkeyPatch, *, timeout: float = 60) -> Iterator[Simulator]:
    """One on a clock of its own, and in the clouds.yaml that is found; `timeout` is the client's, in real seconds."""
    with simulator_on_a_socket(Setup(), VirtualClock()) as running:
        world.add_image(running.cloud)
        in_clouds_yaml(running, folder, patch, timeout=timeout)
        yield running


def in_clouds_yaml(simulator: Simulator, folder: Path, patch: pytest.MonkeyPatch, *, timeout: float = 60) -> None:
    """Let it be the cloud `campus`."""
    (folder / "clouds.yaml").write_text(simulator.clouds_yaml(timeout))
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        patch.delenv(name, raising=False)
    patch.setenv("OS_CLIENT_CONFIG_FILE", str(folder / "clouds.yaml"))
    patch.setenv("PROVISION_LAB_HOME", str(folder / "lab"))
    patch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with a_simulator(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def operator(simulator: Simulator, tmp_path: Path) -> Operator:
    return Operator(simulator.url, simulator.clock, tmp_path / "handouts")
