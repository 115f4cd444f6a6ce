"""One command in a fresh process, measured; several commands in turns."""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

MIB = 2**20
_PAUSE = 0.05  # seconds between two looks at a process


class Measured(NamedTuple):
    """What a command cost: seconds, CPU seconds (user and system), and bytes.

    `resident` is the largest process's peak (it cannot be seen below that of this one, about 20 MiB), `anonymous` the
    most that all its processes had of their own at once, `written` what went to the file system's blocks.
    """

    wall: float
    cpu: float
    resident: float
    anonymous: float
    written: float


class Contestant(NamedTuple):
    """A command; `outputs` is what it writes, removed before and after each run. `equals` is its disk's raw file."""

    name: str
    command: Sequence[str | Path]
    source: Path | None = None
    outputs: Sequence[Path] = ()
    equals: Path | None = None
    environment: Mapping[str, str] | None = None


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measured:
    """Run `command` and say what it cost; whatever fails ends the benchmark."""
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environment or {})}
        )
        peak = [0]
        watcher = Thread(target=_watch, args=(process.pid, peak))
        watcher.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.monotonic() - started
        written = _number(f"/proc/{process.pid}/io", "write_bytes:")  # a zombie still says it
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
        if process.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(map(str, command))} failed:\n{log.read().decode(errors='replace')}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, peak[0] << 10, written)


def race(contestants: Sequence[Contestant], repeat: int) -> dict[str, Measured]:
    """The medians of `repeat` rounds in which each contestant runs once, in an order that changes."""
    rounds: dict[str, list[Measured]] = {contestant.name: [] for contestant in contestants}
    order = random.Random(repeat)  # noqa: S311  # no secret
    for turn in range(repeat):
        for contestant in order.sample(contestants, len(contestants)):
            _prepare(contestant)
            rounds[contestant.name].append(measure(contestant.command, contestant.environment))
            if turn == 0 and contestant.equals:
                _check(contestant.equals, contestant.outputs[0])
            remove(contestant.outputs)
    return {name: Measured(*map(statistics.median, zip(*runs, strict=True))) for name, runs in rounds.items()}


def _prepare(contestant: Contestant) -> None:
    """Let nobody wait for what another has written, nor for a source that has left the memory."""
    remove(contestant.outputs)
    os.sync()
    if contestant.source:
        with contestant.source.open("rb") as stream:
            while stream.read(MIB):
                pass


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders that may be there."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def _check(raw: Path, made: Path) -> None:
    """A quick conversion to something else would be worth nothing."""
    form = "raw" if made.suffix == ".raw" else "qcow2"
    measure(["qemu-img", "compare", "-f", "raw", "-F", form, raw, made])
    if form == "qcow2":
        measure(["qemu-img", "check", "-f", "qcow2", made])


def _watch(process: int, peak: list[int]) -> None:
    """Note the most KiB that `process` and what it started have of their own at once, until it ends."""
    while Path(f"/proc/{process}/maps").exists() and _alive(process):
        peak[0] = max(peak[0], sum(_number(f"/proc/{each}/status", "RssAnon:") for each in _family(process)))
        time.sleep(_PAUSE)


def _alive(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2][:4]
    except OSError:
        return False


def _family(process: int) -> list[int]:
    family = [process]
    for one in family:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
    return family


def _number(path: str, name: str) -> int:
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0
