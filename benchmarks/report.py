"""What came of it, as Markdown."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from measure import MIB
from races import Race, Results

_COLUMNS = ("", "wall s", "CPU s", "peak RSS MiB", "anonymous MiB", "written MiB")


@dataclass(frozen=True)
class Claim:
    """One line of the report; `value` is to be at most, or at least, `bound`."""

    what: str
    value: float
    bound: float
    at_most: bool = True

    def holds(self) -> bool:
        """Whether it is true."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def row(self) -> tuple[str, ...]:
        """As the table shows it."""
        sign = "at most" if self.at_most else "at least"
        return self.what, f"{sign} {self.bound:g}", f"{self.value:.3g}", "met" if self.holds() else "MISSED"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |", flush=True)
    print(flush=True)


def show(race: Race, results: Results) -> bool:
    """Print a race and what was claimed of it; whether all of that is true."""
    print(f"## {race.title}\n")
    table(_COLUMNS, [_row(name, *found) for name, found in results.items()])
    if race.claims:
        table(
            ("claim", "wanted", "found", ""),
            [
                (c.text, f"{c.sign} {c.bound:.3g}", f"{c.value(results):.3g}", "met" if c.holds(results) else "MISSED")
                for c in race.claims
            ],
        )
    return all(claim.holds(results) for claim in race.claims)


def _row(name: str, wall: float, cpu: float, resident: float, anonymous: float, written: float) -> tuple[str, ...]:
    memory = [f"{size / MIB:.0f}" for size in (resident, anonymous, written)]
    return name, f"{wall:.2f}", f"{cpu:.2f}", *memory


def show_machine(work: Path) -> None:
    """Print what it runs on."""
    facts = {
        "CPU": f"{_after(Path('/proc/cpuinfo'), 'model name')}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{int(_after(Path('/proc/meminfo'), 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "file system": _said("stat", "--file-system", "--format=%T", str(work)),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Python": platform.python_version(),
        "qemu-img": _said("qemu-img", "--version").splitlines()[0].removeprefix("qemu-img version "),
        "deflate": version("deflate"),
    }
    table(("machine", ""), facts.items())


def show_rates(title: str, rates: Mapping[str, Sequence[float] | None], columns: Sequence[str]) -> None:
    """Print GiB a second for each library; None is one that is not installed."""
    print(f"## {title}\n")
    missing = ["not installed"] * len(columns)
    table(("GiB/s", *columns), [(n, *([f"{r:.2f}" for r in rate] if rate else missing)) for n, rate in rates.items()])


def _after(file: Path, name: str) -> str:
    lines = [line for line in file.read_text().splitlines() if line.startswith(name)]
    return lines[0].partition(":")[2].strip() if lines else "unknown"


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
