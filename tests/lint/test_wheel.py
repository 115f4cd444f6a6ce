"""`pipx install` works as well as a checkout: the wheel carries every file that the commands read."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ("heat", "roles", "playbooks", "images", "letters")


def test_the_wheel_carries_what_a_checkout_has(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    kept = [name for name in listed if (ROOT / name).exists()]
    for name in kept:
        if name.startswith("provision/"):
            assert name in modes
        elif name.partition("/")[0] in CARRIED:
            mode = modes[f"provision/_data/{name}"]
            assert bool(mode & 0o100) == bool((ROOT / name).stat().st_mode & 0o100), f"{name} lost its mode"
