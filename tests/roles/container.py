"""A tree booted as a systemd container, alone on its network, and what we ask of it from there."""

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BOOT_SECONDS = 60.0


@dataclass(frozen=True)
class Container:
    """A booted tree; `leader` is the process id of its systemd."""

    leader: int

    def run(self, *command: str) -> str:
        """What a command in the container prints, whatever its exit code."""
        words = ["nsenter", "--target", str(self.leader), "--all", *command]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120).stdout.strip()

    def python(self, code: str) -> str:
        """What our own Python prints, run here but on the container's network."""
        words = ["nsenter", "--target", str(self.leader), "--net", sys.executable, "-c", code]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.strip()

    def wait_for(self, code: str, expected: str, *, seconds: float = BOOT_SECONDS) -> None:
        """Repeat `python` until it prints `expected`."""
        end, printed = time.monotonic() + seconds, ""
        while time.monotonic() < end:
            with contextlib.suppress(subprocess.CalledProcessError):
                if (printed := self.python(code)) == expected:
                    return
            time.sleep(0.3)
        raise AssertionError(f"not {expected!r} but {printed!r} after {seconds} s")


@contextlib.contextmanager
def booted(root: Path) -> Iterator[Container]:
    """Boot the tree; it is powered off when the context is left."""
    options = ["--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--resolv-conf=off"]
    name = f"--machine=roles-{uuid.uuid4().hex[:8]}"
    nspawn = subprocess.Popen(
        ["systemd-nspawn", *options, name, "--directory", root],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        container = Container(_leader(nspawn))
        _wait_until_up(container)
        yield container
    finally:
        nspawn.terminate()
        nspawn.wait(60)


def _leader(nspawn: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end and nspawn.poll() is None:
        # Its first child only makes the container, and is gone when there is one.
        for child in Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        time.sleep(0.1)
    raise AssertionError("systemd-nspawn did not boot the tree")


def _wait_until_up(container: Container) -> None:
    end = time.monotonic() + BOOT_SECONDS
    while container.run("systemctl", "is-system-running") not in ("running", "degraded"):
        assert time.monotonic() < end, "the tree did not come up"
        time.sleep(0.3)
