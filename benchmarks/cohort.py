"""What a cohort costs and how fast it goes: `python benchmarks/cohort.py [STUDENTS]`, against the simulator.

Prints what was measured beside what is claimed; exits with 1 if a claim does not hold. Nothing leaves this machine.
What is timed in the cloud's own seconds runs on a virtual clock, and takes as long as its computing does: with 1000
students a few minutes.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic, sleep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import MIB, Measured, measure
from report import Claim, table

from provision.clock import REAL, Clock
from provision.workflows.cohort import plan
from tests.simulator import world
from tests.simulator.cases import WEATHER
from tests.simulator.clock import VirtualClock
from tests.simulator.faults import LISTED_STACKS, NEW_STACK, Build, Capacity, Latency, Setup
from tests.simulator.server import Simulator, simulator_on_a_socket
from tests.simulator.staff import Operator, doubles, ready

ROOT = Path(__file__).resolve().parents[1]
BUILD = Build(create=60, delete=15, boot=90)
DISCOVERY = r"^GET /(identity|glance|nova|neutron|heat)(/v[\d.]+)?/?( |$)|/auth/tokens"


@dataclass(frozen=True)
class Shape:
    """A cloud: how long its answers take, and how many new stacks a second it bears."""

    name: str
    latency: Latency
    capacity: Capacity


SHAPES = (
    Shape("even, 1.5 a second", Latency(0.1, 0.3), Capacity()),
    Shape("uneven, 1.5 a second", Latency(0.1, 0.5, spread=0.8), Capacity()),
    Shape("2 % take 20 s more, 1.5 a second", Latency(0.1, 0.5, spread=0.3, tail=20, tail_share=0.02), Capacity()),
    Shape("slow answers, 1.5 a second", Latency(0.5, 4.0, spread=0.3), Capacity()),
    Shape("large, 6 a second", Latency(0.05, 0.3), Capacity(knee=6, collapse=8)),
)


@contextmanager
def campus(setup: Setup, clock: Clock) -> Iterator[tuple[Simulator, Operator]]:
    """A simulated cloud in this process, and somebody who uses it from an empty folder."""
    with tempfile.TemporaryDirectory() as folder, simulator_on_a_socket(setup, clock) as simulator:
        world.add_image(simulator.cloud)
        use(Path(folder), simulator.clouds_yaml())
        yield simulator, Operator(simulator.url, clock, Path(folder) / "handouts", deadline=3600)


def use(folder: Path, clouds: str) -> None:
    """Let `campus` be that cloud."""
    (folder / "clouds.yaml").write_text(clouds)
    os.environ |= {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"), "NO_PROXY": "127.0.0.1"}


def calls(simulator: Simulator) -> int:
    """How many there were: not those that ask which versions there are, nor those that the proof makes of machines."""
    return sum(not re.search(f"{DISCOVERY}|^GET /machines", call.what) for call in simulator.calls)


def in_weather(shape: Shape, students: int) -> tuple[tuple[str, ...], list[Claim]]:
    """A launch on a cloud of that shape: what was seen, and what is claimed of it."""
    setup = Setup(latency=shape.latency, capacity=shape.capacity, build=BUILD, stack_limit=10**6)
    clock = VirtualClock()
    with campus(setup, clock) as (simulator, operator):
        begun, worked = clock.now(), monotonic()
        done = len(ready(operator.launch(students)))
        took, worked = clock.now() - begun, monotonic() - worked
        ideal = students / shape.capacity.knee + BUILD.create + BUILD.boot
        each = calls(simulator) / students
        refused = sum(call.status >= 500 for call in simulator.calls if "/machines" not in call.what)
        double = len(doubles(simulator))
    row = (shape.name, f"{done}", f"{took:.0f}", f"{ideal:.0f}", f"{took / ideal:.2f}", f"{each:.2f}", f"{refused}",
           f"{worked:.0f}")  # fmt: skip
    claims = [
        Claim(f"{shape.name}: ready in the first run", done, students, at_most=False),
        Claim(f"{shape.name}: made twice", double, 0),
        Claim(f"{shape.name}: of the ideal time", took / ideal if done == students else inf, 1.03),
    ]
    return row, claims


def counted(students: int) -> list[Claim]:
    """Calls, on a cloud that bears all: to launch, to plan again, after a crash, to delete."""
    setup = Setup(latency=Latency(0.1, 0.3), build=BUILD, stack_limit=10**6)
    clock = VirtualClock()
    with campus(setup, clock) as (simulator, operator):
        operator.launch(students // 2)
        simulator.meet(setup)
        operator.launch(students)
        first = next(call.time for call in simulator.calls if re.search(NEW_STACK, call.what))
        rest = students - students // 2
        lists = simulator.count(LISTED_STACKS)
        halfway = [
            Claim("after a crash halfway: list calls", lists, 5),
            Claim("after a crash halfway: other calls for each unfinished one", (calls(simulator) - lists) / rest, 2),
            Claim("after a crash halfway: seconds to the first new stack, calls at 100 ms", first, 1),
        ]
        simulator.meet(setup)
        operator.delete()
        deleting = Claim("calls a student to delete", calls(simulator) / students, 1.05)
        simulator.meet(setup)
        (operator.folder / "handout.csv").unlink()
        operator.launch(students)
        launching = Claim("calls a student to launch", calls(simulator) / students, 2.05)
        simulator.meet(setup)
        begun = clock.now()
        connection = operator.connect()
        plan(connection, world.order(students))
        planning = [
            Claim("calls of a plan that finds nothing to do", calls(simulator), 10),
            Claim("seconds of it that calls took, at 100 ms", clock.now() - begun, 2),
        ]
    return [launching, deleting, *halfway, *planning]


def in_bad_weather(students: int) -> list[Claim]:
    """A fifth of all calls goes wrong, and nothing works for six minutes: nobody helps."""
    setup = Setup(latency=SHAPES[1].latency, capacity=Capacity(), build=BUILD, stack_limit=10**6, faults=WEATHER)
    with campus(setup, VirtualClock()) as (simulator, operator):
        done, double = len(ready(operator.launch(students))), len(doubles(simulator))
    return [
        Claim("20 % errors and an outage of 6 minutes: ready, with nobody helping", done, students, at_most=False),
        Claim("20 % errors and an outage of 6 minutes: made twice", double, 0),
    ]


def client(students: int) -> Measured:
    """What a launch costs this machine, the simulator's own work apart: it is another process, and answers at once."""
    with tempfile.TemporaryDirectory() as folder:
        clouds = Path(folder) / "clouds.yaml"
        with clouds.open("w") as stream:
            server = subprocess.Popen([sys.executable, "-m", "tests.simulator"], cwd=ROOT, stdout=stream)
        while "api_timeout" not in clouds.read_text():
            sleep(0.1)
        use(Path(folder), clouds.read_text())
        try:
            return measure([sys.executable, __file__, "--client", str(students), folder])
        finally:
            server.terminate()
            server.wait()


def launch_here(students: int, folder: Path) -> None:
    """What `client` measures."""
    (url, *_) = re.findall(r"http://[\d.:]+", (folder / "clouds.yaml").read_text())
    done = len(ready(Operator(url, REAL, folder / "handouts").launch(students)))
    if done < students:
        sys.exit(f"{done} of {students} are ready")


def main(students: int) -> bool:
    """Measure, print, and say whether all that is claimed is true."""
    few = max(2, students // 20)
    small, large = client(few), client(students)
    costs = [
        Claim("client CPU a student, ms", (large.cpu - small.cpu) / (students - few) * 1000, 5),
        Claim("peak memory of the client, MiB", large.anonymous / MIB, 80),
    ]
    claims = counted(students) + in_bad_weather(students)
    rows = []
    for shape in SHAPES:
        row, more = in_weather(shape, students)
        rows.append(row)
        claims += more
    print(f"## A cohort of {students}\n")
    table(("cloud", "ready", "took s", "ideal s", "ratio", "calls each", "5xx", "computed s"), rows)
    table(("claim", "wanted", "found", ""), [claim.row() for claim in [*costs, *claims]])
    return all(claim.holds() for claim in [*costs, *claims])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        launch_here(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(not main(int(sys.argv[1]) if sys.argv[1:] else 1000))
