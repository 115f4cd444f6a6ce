"""The lab itself, brought up once for all that needs it. It stays up afterwards: the next run is quicker."""

import subprocess
import sys
from pathlib import Path

import pytest

PROVISION = str(Path(sys.executable).with_name("provision"))


@pytest.fixture(scope="session")
def lab() -> None:
    """A real OpenStack. Where it does not come up, the tests fail rather than skip."""
    subprocess.run([PROVISION, "lab", "up", "--yes", "--progress", "plain"], check=True, timeout=1800)
