"""Does a guest really boot on KVM here? A KVM that exists may hang: a real kernel is booted, once per host boot."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from provision import paths
from provision.errors import CommandError
from provision.process import run

DEVICE = Path("/dev/kvm")
PROOF = "Unable to mount root fs"  # the kernel's own last words where there is no disk
LIMIT = 10  # seconds; TCG, the slower one, takes 2.5


def verdict() -> tuple[bool, str] | None:
    """What this boot of the host is known to do: whether KVM works, and a few words why. None before the probe."""
    if not DEVICE.exists():
        return False, "no /dev/kvm"
    try:
        known = json.loads(_file().read_text())
    except FileNotFoundError:
        return None
    return (bool(known["works"]), str(known["reason"])) if known["boot"] == _boot_id() else None


def probe(kernel: str | Path, start: Callable[[Sequence[str]], Sequence[str | Path]] = list) -> tuple[bool, str]:
    """`verdict`, after booting the Linux `kernel` on KVM where that is still to be done.

    `start` may put words before QEMU's own command line, so that it runs elsewhere, where the kernel's path is meant.
    """
    if known := verdict():
        return known
    works = PROOF in _boot(start(_command(kernel)))
    reason = "a kernel booted on it" if works else f"a kernel did not boot on it within {LIMIT} s"
    _file().parent.mkdir(parents=True, exist_ok=True)
    paths.write_private(_file(), json.dumps({"boot": _boot_id(), "works": works, "reason": reason}))
    return works, reason


def _command(kernel: str | Path) -> list[str]:
    return [
        *("timeout", "--signal=KILL", str(LIMIT), "qemu-system-x86_64", "-nodefaults", "-no-reboot"),
        *("-machine", "pc,accel=kvm", "-cpu", "host", "-m", "256", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"),
    ]


def _boot(command: Sequence[str | Path]) -> str:
    """What the kernel printed."""
    try:
        return run(command, deadline=LIMIT + 20, check=False).stdout
    except CommandError:
        return ""


def _file() -> Path:
    return paths.cache_home() / "kvm.json"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
