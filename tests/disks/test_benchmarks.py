"""The benchmark runs; how quick anything is, no test says."""

import os
import subprocess
import sys
from pathlib import Path

DISKS = Path(__file__).resolve().parents[2] / "benchmarks" / "disks.py"


def test_every_race_is_run_and_reported(tmp_path: Path) -> None:
    options = ["--mib", "6", "--gib", "1", "2", "--repeat", "1", "--work", str(tmp_path / "bench")]
    done = subprocess.run(
        [sys.executable, DISKS, *options, "--only", "start", "raw", "upload"],
        env={**os.environ, "PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""  # a command that fails is named there
    assert [line for line in done.stdout.splitlines() if line.startswith("## ")] == [
        "## Start-up, which is in every row of ours",
        "## .box to sparse raw",
        "## Upload to an image service that keeps nothing",
    ]
    assert "| bytes sent: times the VMDK's | <= 1 |" in done.stdout
    assert done.stdout.count("MISSED") == 0 or done.returncode == 1
    assert not (tmp_path / "bench").exists()
