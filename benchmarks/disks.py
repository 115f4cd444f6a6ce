"""How quick the disk pipeline is, side by side with cp, dd, tar, gunzip and qemu-img. Prints Markdown.

Needs qemu-img, mkfs.ext4 and sfdisk, and 30 GiB of disk; the race on a file system that shares blocks also needs root
and mkfs.xfs. Ends with 1 if a claim does not hold.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import inflating
import races
from measure import race
from report import show, show_machine, show_rates
from samples import Sample, make_samples
from sink import sink
from xfs import missing, xfs

from provision.paths import cache_home


def main() -> None:
    """Make the disks, run the races, print what came of them."""
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    show_machine(work)
    small, large = make_samples(work, [gib << 30 for gib in options.gib], options.mib << 20)
    runs = _runs(work, small, large, options.repeat)
    results = [runs[name]() for name in options.only or runs]
    if not options.keep:
        shutil.rmtree(work)
    sys.exit(0 if all(results) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="rounds; medians are shown")
    parser.add_argument("--mib", type=int, default=3072, help="MiB of files on the disks")
    parser.add_argument("--gib", type=int, nargs=2, default=(64, 1024), help="GiB of the small and of the large disk")
    parser.add_argument("--only", nargs="+", help="some of the races: start, qcow2, raw, stored, gz, ...")
    parser.add_argument("--work", type=Path, default=cache_home() / "bench", help="where the disks are made")
    parser.add_argument("--keep", action="store_true", help="keep the disks for another run")
    return parser.parse_args()


def _runs(work: Path, small: Sample, large: Sample, repeat: int) -> dict[str, Callable[[], bool]]:
    """What can be run, by name; each says whether all its claims hold."""
    plain: dict[str, Callable[[], races.Race]] = {
        "start": races.start,
        "qcow2": partial(races.box_to_qcow2, work, small, large),
        "raw": partial(races.box_to_raw, work, small, large),
        "stored": partial(races.stored_to_raw, work, small, large),
        "gz": partial(races.gz_to_qcow2, work, small, large),
        "shrink": partial(races.shrink, work, small),
    }
    return {
        **{name: partial(_run, prepared, repeat) for name, prepared in plain.items()},
        "xfs": partial(_shared, work, small, repeat),
        "upload": partial(_upload, work, small, repeat),
        "inflate": partial(_inflate, small, repeat),
    }


def _run(prepared: Callable[[], races.Race], repeat: int) -> bool:
    found = prepared()
    return show(found, race(found.contestants, repeat))


def _shared(work: Path, small: Sample, repeat: int) -> bool:
    if why := missing():
        print(f"No race on XFS: {why}.\n")
        return True
    with xfs(work, (small.vdi, small.sparse)) as folder:
        return _run(partial(races.shared_to_raw, folder, small), repeat)


def _upload(work: Path, small: Sample, repeat: int) -> bool:
    with sink(work) as (environment, bodies):
        return _run(partial(races.upload, small, environment, bodies), repeat)


def _inflate(small: Sample, repeat: int) -> bool:
    show_rates("Inflating grains", inflating.on_grains(small.box, repeat), ("1 thread", "2 threads"))
    show_rates("Inflating a gzipped box", inflating.on_gzip(small.box_gz, repeat), ("as a stream",))
    return True


if __name__ == "__main__":
    main()
