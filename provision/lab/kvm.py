"""The probe of KVM (see provision.guests.kvm) with what the base layer holds: a kernel, and a QEMU."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from provision.guests import kvm
from provision.lab.layers import Layers

KERNEL = "/usr/lib/lab/vmlinuz"
ISOLATED = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")


def probe(layers: Layers) -> tuple[bool, str]:
    """Whether guests boot on KVM here, and a few words why."""
    return kvm.probe(KERNEL, partial(_inside, layers))


def _inside(layers: Layers, command: Sequence[str]) -> list[str | Path]:
    """The command line that runs `command` in the base layer, with the host's /dev there for as long as it takes."""
    return [*ISOLATED, "sh", "-c", 'mount --bind /dev "$0/dev" && exec chroot "$0" "$@"', layers.base, *command]
