"""qemu-img, always told which format it reads."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from provision.disks.source import Disk
from provision.process import follow, run

CONVERT_SECONDS = 3600.0
_PERCENT = re.compile(r"\((\d+\.\d+)/100%\)")


def virtual_size(disk: Disk) -> int:
    """The size in bytes that a machine would see."""
    done = run(["qemu-img", "info", "-f", disk.format, "--output=json", disk.path], deadline=60)
    return int(json.loads(done.stdout)["virtual-size"])


def convert(disk: Disk, target: Path, form: str, *, compress: bool, on_percent: Callable[[float], None]) -> None:
    """Write `disk` to `target` as `form` (raw or qcow2), holes kept. `target` is half written if this raises."""
    options = ["-c", "-o", "compression_type=zstd"] if compress else []

    def on_line(line: str) -> None:
        if found := _PERCENT.search(line):
            on_percent(float(found[1]))

    command = ["qemu-img", "convert", "-p", "-t", "unsafe", "-f", disk.format, "-O", form, *options]
    follow([*command, disk.path, target], deadline=CONVERT_SECONDS, on_line=on_line)
