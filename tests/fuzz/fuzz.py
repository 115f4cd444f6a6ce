"""Fuzz one target: `python -m tests.fuzz.fuzz vmdk -max_total_time=300`; the options are libFuzzer's.

What it finds belongs into tests/disks/hostile.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # only in the environment that fuzzes

with atheris.instrument_imports(include=["provision"]):
    from tests.fuzz.targets import TARGETS, once

from tests.fuzz.seeds import SEEDS

LIMITS = ["-max_len=65536", "-rss_limit_mb=512", "-timeout=5", "-print_final_stats=1"]


def main() -> None:
    """Run the target that the first argument names from its seeds."""
    target, *options = sys.argv[1:] or ["?"]
    if target not in TARGETS:
        sys.exit(f"Which target? One of {', '.join(TARGETS)}.")
    with TemporaryDirectory() as folder:
        for number, seed in enumerate(SEEDS[target]()):
            (Path(folder) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *LIMITS, *options, folder], lambda whole: once(target, whole) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
