"""Does a guest really boot on KVM here? A KVM that exists may hang: a real kernel is booted, once per host boot."""

import json
from pathlib import Path

from provision import paths
from provision.errors import CommandError
from provision.lab.layers import Layers
from provision.process import run

DEVICE = Path("/dev/kvm")
PROOF = "Unable to mount root fs"  # the kernel's own last words where there is no disk
LIMIT = 10  # seconds; TCG, the slower one, takes 2.5
COMMAND = [
    *("timeout", "--signal=KILL", str(LIMIT), "/usr/bin/qemu-system-x86_64.real", "-nodefaults", "-no-reboot"),
    *("-machine", "pc,accel=kvm", "-cpu", "host", "-m", "256", "-display", "none", "-serial", "stdio"),
    *("-kernel", "/usr/lib/lab/vmlinuz", "-append", "console=ttyS0 panic=-1"),
]


def verdict() -> tuple[bool, str] | None:
    """What this boot of the host is known to do: whether KVM works, and a few words why. None before the probe."""
    if not DEVICE.exists():
        return False, "no /dev/kvm"
    try:
        known = json.loads(_file().read_text())
    except FileNotFoundError:
        return None
    return (bool(known["works"]), str(known["reason"])) if known["boot"] == _boot_id() else None


def probe(layers: Layers) -> tuple[bool, str]:
    """`verdict`, after booting the base layer's kernel with its own QEMU where that is still to be done."""
    if known := verdict():
        return known
    works = PROOF in _boot_kernel(layers)
    reason = "a kernel booted on it" if works else f"a kernel did not boot on it within {LIMIT} s"
    paths.write_private(_file(), json.dumps({"boot": _boot_id(), "works": works, "reason": reason}))
    return works, reason


def _boot_kernel(layers: Layers) -> str:
    """What the kernel printed, with the host's /dev seen from the base layer for as long as this takes."""
    isolated = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    enter: list[str | Path] = ["sh", "-c", 'mount --bind /dev "$0/dev" && exec chroot "$0" "$@"', layers.base]
    try:
        return run([*isolated, *enter, *COMMAND], deadline=LIMIT + 20, check=False).stdout
    except CommandError:
        return ""


def _file() -> Path:
    return paths.lab_home() / "kvm.json"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
