"""Fuzz one target: `python -m tests.fuzz.fuzz vmdk -max_total_time=300`; the options are libFuzzer's.

It begins with the seeds and the saved corpus. What reached more of the code than they do is saved in its place, the
smallest first. What it finds belongs into tests/disks/hostile.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.saved import load, name_of, save
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run the target that the first argument names."""
    target, *options = sys.argv[1:] or ["?"]
    if target not in TARGETS:
        sys.exit(f"Which target? One of {', '.join(TARGETS)}.")
    with TemporaryDirectory() as grown, TemporaryDirectory() as base:
        seeds = SEEDS[target]()
        fill(Path(grown), load(target))
        fill(Path(base), seeds)
        try:
            sys.exit(engine(target, *options, grown, base))
        finally:
            if engine(target, "-merge=1", base, grown) == 0:
                made = {name_of(seed) for seed in seeds}
                save(target, [path.read_bytes() for path in Path(base).iterdir() if path.name not in made])


def engine(target: str, *words: str) -> int:
    return subprocess.run([sys.executable, "-m", "tests.fuzz.engine", target, *words], check=False).returncode


def fill(folder: Path, inputs: list[bytes]) -> None:
    for each in inputs:
        (folder / name_of(each)).write_bytes(each)


if __name__ == "__main__":
    main()
