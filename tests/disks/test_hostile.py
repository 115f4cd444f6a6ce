"""Every hostile file is refused with a reason and a place, in bounded memory and time, and nothing is written."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.errors import InvalidInputError
from provision.progress import Silent
from provision.workflows.convert import Wish, convert_image
from tests.disks.conftest import MIB, sh
from tests.disks.hostile.corpus import CASES, KINDS
from tests.disks.hostile.seeds import file, seed, tar, zipped
from tests.disks.images import FORMATS

PROVISION = Path(sys.executable).with_name("provision")
# Where it is wrong: at a byte, in a line, in a member, in a file beside it; or it is not about a content at all.
PLACE = re.compile(
    r"byte \d|line \d|holds (no|more)|no ordinary file|cannot be read|There is no file|needs the file|"
    r"in disk (names|speaks)|should have \d+|multiple of 512|a disk's \d|of type '"
)


@contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """What hangs ends the test run."""
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("form", ["qcow2", "raw"])
@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, form: str, tmp_path: Path) -> None:
    make, says = CASES[case]
    folder = tmp_path / "folder"
    folder.mkdir()
    source = make(tmp_path)
    with deadline(60), pytest.raises(InvalidInputError, match=says) as refused:
        convert_image(source, folder / "target", Wish(form), Silent())
    message = refused.value.message.replace(str(source), "disk")
    assert PLACE.search(message), message
    assert message.endswith(".")
    assert message.isprintable()
    assert len(message) < 250 + len(source.name)
    assert list(folder.iterdir()) == []


# One of each kind, through the front door.
FRONT = [
    next(name for name in CASES if name.startswith(f"{kind}: ") and "no disk that we know" not in CASES[name][1])
    for kind in KINDS
]


@pytest.mark.parametrize("case", FRONT)
def test_the_command_says_so_and_exits_with_2(case: str, tmp_path: Path) -> None:
    source = CASES[case][0](tmp_path)
    (tmp_path / "folder").mkdir()
    done = convert(source, tmp_path / "folder" / "target")
    assert done.returncode == 2
    assert re.search(rf"^Error: .*({CASES[case][1]})", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "folder").iterdir()) == []


def convert(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [PROVISION, "image", "convert", source, target, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


BOUND = 128 * MIB
MEASURE = """
import re, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from provision.errors import InvalidInputError
from provision.progress import Silent
from provision.workflows.convert import Wish, convert_image

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10

start = peak()
for source in sys.stdin.read().split():
    Path("/proc/self/clear_refs").write_text("5")
    with TemporaryDirectory() as folder:
        try:
            convert_image(Path(source), Path(folder) / "target", Wish(sys.argv[1]), Silent())
        except InvalidInputError:
            pass
    print(peak() - start, source)
"""


@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_memory_is_bounded(form: str, tmp_path: Path) -> None:
    """The whole corpus in one process: what it takes at most, and how much it may have at all."""
    sources = {}
    for number, (name, (make, _)) in enumerate(CASES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        sources[str(make(folder))] = name
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, form],
        input="\n".join(sources),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (600 * MIB, 600 * MIB)),
    )
    assert done.returncode == 0, done.stderr
    peaks = [(int(line.split()[0]), sources[line.split()[1]]) for line in done.stdout.splitlines()]
    assert len(peaks) == len(CASES)
    most, name = max(peaks)
    assert most < BOUND, f"{name}: {most >> 20} MiB"


WHOLE = [name for name, form in FORMATS.items() if not form.several]
CUT = [(name, packed) for name in WHOLE for packed in (False, True) if packed or name != "raw"]  # half a raw is a raw


@pytest.mark.parametrize(("name", "packed"), CUT)
def test_cut_off_anywhere(name: str, packed: bool, tmp_path: Path) -> None:
    """However a file is cut off: it is refused, or what it holds is all there."""
    make = file(lambda: zipped(tar(("box.ovf", b""), ("disk", seed(name))))) if packed else file(lambda: seed(name))
    source, target = make(tmp_path), tmp_path / "target"
    convert_image(source, target, Wish("raw"), Silent())
    sound, size = sh("sha256sum", target).split()[0], source.stat().st_size
    target.unlink()
    sound_cuts = 0
    for cut in reversed([*range(0, 4096, 157), *range(4096, size, max(size // 23, 1))]):
        os.truncate(source, cut)
        try:
            convert_image(source, target, Wish("raw"), Silent())
        except InvalidInputError:
            assert not target.exists()
            continue
        assert sh("sha256sum", target).split()[0] == sound
        target.unlink()
        sound_cuts += 1
    assert sound_cuts <= 1 if packed else sound_cuts < 25


def test_without_permission(tmp_path: Path) -> None:
    source = file(b"x" * 512)(tmp_path)
    source.chmod(0)
    if os.getuid():
        pytest.skip("only root can be somebody else")
    os.seteuid(65534)
    try:
        with pytest.raises(InvalidInputError, match="cannot be read: Permission denied"):
            convert_image(source, tmp_path / "target", Wish(), Silent())
    finally:
        os.seteuid(0)
