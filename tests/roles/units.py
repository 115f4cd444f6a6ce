"""How well the units are confined that our roles wrote into a tree."""

import subprocess
from pathlib import Path

LIMIT = 20  # tenths
OURS = "# Ansible managed"
# Not held to the limit, and why.
EXCEPTIONS = {
    "grow-root.service": "it writes the partition table of the disk that it runs from",
}


def unhardened(root: Path) -> dict[str, str]:
    """Our units in `root` that are more exposed than they may be, with what systemd says."""
    found = [path for path in (root / "etc/systemd/system").glob("*.service") if path.is_file() and is_ours(path)]
    assert found
    scores = {path.name: _score(root, path.name) for path in found if path.name not in EXCEPTIONS}
    return {name: said for name, said in scores.items() if said}


def foreign_drop_ins(root: Path) -> list[Path]:
    """What our boxes add to units in `root`, where it would win over what our roles wrote."""
    return list((root / "etc/systemd/system").glob("*.service.d/box.conf"))


def is_ours(path: Path) -> bool:
    return not path.is_symlink() and path.read_text().startswith(OURS)


def _score(root: Path, unit: str) -> str:
    """Empty if it is within the limit."""
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={LIMIT}", f"--root={root}", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [done.stderr])[-1] if done.returncode else ""
