"""The lab itself, brought up once for all that needs it. It stays up afterwards: the next run is quicker."""

import subprocess
import sys
from pathlib import Path

import pytest

from provision.workflows.builds import Build, newest_build

PROVISION = str(Path(sys.executable).with_name("provision"))


@pytest.fixture(scope="session")
def lab() -> None:
    """A real OpenStack. Where it does not come up, the tests fail rather than skip."""
    subprocess.run([PROVISION, "lab", "up", "--yes", "--progress", "plain"], check=True, timeout=1800)


@pytest.fixture(scope="session")
def proved() -> Build:
    """The demo course's image, built and verified as the command does it."""
    command = [PROVISION, "image", "build", "demo", "--progress", "plain"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=2400)
    assert done.returncode == 0, done.stderr
    return newest_build("demo")
