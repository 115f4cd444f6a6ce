"""`image convert` on real disks, and what a build says before it does anything."""

import subprocess
import sys
from pathlib import Path

import pytest

from provision.errors import InvalidInputError, PreflightError
from provision.progress import Silent
from provision.workflows.image import BOX_PROGRAMS, build_image, check_programs, convert_image

CLI = [sys.executable, "-c", "from provision.cli import main; main()", "image"]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * 510 + b"\x55\xaa" + bytes(20 * 2**20) + b"y" * 512)
    return path


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_the_copy_is_identical(form: str, disk: Path, tmp_path: Path) -> None:
    vmdk, target = tmp_path / "disk.vmdk", tmp_path / "target"
    stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *stream, str(disk), str(vmdk)], check=True)
    done = subprocess.run(
        [*CLI, "convert", str(vmdk), str(target), "--format", form], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    compare = ["qemu-img", "compare", "-f", "raw", "-F", form, str(disk), str(target)]
    assert subprocess.run(compare, check=False, capture_output=True).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "disk.vmdk", "target"]


def test_a_refused_source_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "evil.vmdk").write_text('# Disk DescriptorFile\nRW 8 FLAT "/etc/shadow" 0\n')
    command = [*CLI, "convert", str(tmp_path / "evil.vmdk"), str(tmp_path / "target")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "only names other files" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["evil.vmdk"]


def test_a_failed_copy_leaves_nothing(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "target"
    with pytest.raises(InvalidInputError, match="There is no folder"):
        convert_image(disk, target, "raw", Silent())


def test_missing_programs_are_named_as_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightError, match=r"mmdebstrap.*qemu-utils.*systemd-container") as caught:
        check_programs(BOX_PROGRAMS)
    assert str(caught.value.hint).startswith("apt-get install ")


def test_a_box_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InvalidInputError, match="There is no box"):
        build_image("demo", Silent(), box=tmp_path / "nowhere.box")
