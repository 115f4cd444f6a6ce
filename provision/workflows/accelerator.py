"""Whether guests run on KVM on this computer: where nobody knows yet, the kernel of an image is booted on it."""

import tempfile
from pathlib import Path

from provision.errors import InvalidInputError
from provision.guests import kvm
from provision.progress import Progress
from provision.workflows.inspect import guest_files

KERNEL_BYTES = 2**26


def ensure_known(image: Path, progress: Progress) -> bool:
    """True if guests run on KVM here; `image` is a disk file whose kernel may be tried."""
    if known := kvm.verdict():
        return known[0]
    with progress.phase("Booting a kernel on KVM") as phase, tempfile.TemporaryDirectory(prefix="provision-") as folder:
        kernel = Path(folder) / "vmlinuz"
        if content := _kernel_of(image):
            kernel.write_bytes(content)
        works, reason = kvm.probe(kernel) if content else (False, "the image has no kernel that could be tried")
        phase.result(reason)
    return works


def _kernel_of(image: Path) -> bytes | None:
    """The last of the kernels in the guest's /boot."""
    try:
        with guest_files(image) as files:
            names = sorted(name for name in files.names("/boot") if name.startswith("vmlinuz-")) if files else []
            return files.read(f"/boot/{names[-1]}", KERNEL_BYTES) if files and names else None
    except InvalidInputError:
        return None
