"""How fast a pool hands out machines: `python benchmarks/pool.py [STUDENTS] [MACHINES]`, against the simulator.

All students come in the same moment, each by a portal of their own that knows nothing of the others, while as many
machines wait. Prints what was measured beside what is claimed; exits with 1 if a claim does not hold. Nothing leaves
this machine. Times are the cloud's, whose answers take as long as said; a machine binds and proves itself at once.
"""

import sys
import tempfile
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cohort import campus, use
from report import Claim, table

from tests.simulator.claimers import Desk, at_once, given_twice, owners
from tests.simulator.clock import VirtualClock
from tests.simulator.faults import Latency, Setup

SHAPES = {
    "50 ms a call": Latency(0.05, 0.2),
    "50 ms, uneven": Latency(0.05, 0.2, spread=0.5),
    "100 ms a call": Latency(0.1, 0.4),
}


def measured(latency: Latency, students: int, machines: int) -> tuple[tuple[str, ...], list[Claim]]:
    """One class that comes at once: the row, and what is claimed of it."""
    clock = VirtualClock()
    setup = Setup(latency=latency, stack_limit=10**6)
    with campus(Setup(stack_limit=10**6), clock) as (simulator, operator), tempfile.TemporaryDirectory() as folder:
        use(operator.folder.parent, simulator.clouds_yaml())
        desk = Desk(simulator, Path(folder))
        desk.stock(machines)
        desk.enrol(students)
        simulator.meet(setup)
        pools = [desk.pool(seed=number) for number in range(students)]
        for pool in pools:
            pool.connection.orchestration.get("/build_info")  # each has found its way to Heat before
        simulator.meet(setup)
        worked = monotonic()

        def claimed(student: str, number: int) -> tuple[str, object, float]:
            begun = clock.now()
            return student, desk.claim(pools[number], student), clock.now() - begun

        ends = at_once(desk, [f"s{number:04}" for number in range(students)], claimed)
        worked = monotonic() - worked
        took = sorted(seconds for _, access, seconds in ends if access)
        wrong = given_twice(desk, [(student, access) for student, access, _ in ends])
        owned, calls = len(owners(simulator.cloud)), len(simulator.calls)
    expected = min(students, machines)
    p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    row = (f"{p50:.2f}", f"{p99:.2f}", f"{took[-1]:.2f}", f"{calls / students:.1f}", f"{worked:.0f}")
    return row, [
        Claim("machines that have an owner", owned, expected, at_most=False),
        Claim("given twice, or told wrongly", len(wrong), 0),
        Claim("seconds of a claim, p99", p99, 2),
    ]


def main(students: int, machines: int) -> bool:
    """Measure, print, and say whether all that is claimed is true."""
    rows, claims = [], []
    for name, latency in SHAPES.items():
        row, more = measured(latency, students, machines)
        rows.append((name, *row))
        claims += [(name, claim) for claim in more]
    print(f"## {students} claims at once, {machines} machines\n")
    table(("cloud", "p50 s", "p99 s", "longest s", "calls each", "computed s"), rows)
    table(
        ("claim", "wanted", "found", ""),
        [(f"{name}: {row[0]}", *row[1:]) for name, claim in claims for row in [claim.row()]],
    )
    return all(claim.holds() for _, claim in claims)


if __name__ == "__main__":
    students = int(sys.argv[1]) if sys.argv[1:] else 200
    sys.exit(not main(students, int(sys.argv[2]) if sys.argv[2:] else students))
