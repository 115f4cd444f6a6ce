"""Every fault: nothing is made twice or left behind, what was good is kept, it is said clearly, and run again it ends.

Each case is run once. What is asked of it stands in two tests, so that a run which must be repeated is told from one
that loses something.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from provision.core.outcome import Failed, Outcome
from provision.errors import ProvisionError

from .cases import CASES, NEW, OLD, Case
from .conftest import a_simulator
from .faults import Setup
from .server import Simulator
from .staff import Operator, doubles, failed, machines, orphans, ready

ALL = [*OLD, *NEW]


@dataclass(frozen=True)
class Left:
    """What should not be there: stacks of one name, and things of no stack."""

    doubles: list[str]
    orphans: list[str]


@dataclass(frozen=True)
class Told:
    """What was seen of a case: after the first run in the trouble, and after the second without it."""

    case: Case
    failures: dict[str, Failed]
    error: ProvisionError | None
    good: dict[str, str]  # the machines, by stack, that were ready after the first
    first: Left
    finally_ready: list[str]
    second: Left
    kept: dict[str, str]  # and those of `good` that were there at the end


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    case: Case = request.param
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("case")
        with a_simulator(folder, patch, timeout=case.timeout) as simulator:
            yield tell(case, simulator, Operator(simulator.url, simulator.clock, folder / "handouts"))


def tell(case: Case, simulator: Simulator, operator: Operator) -> Told:
    calm = operator.connect()
    assert ready(operator.launch(len(OLD), calm)) == [*OLD]
    had = machines(simulator)
    error: ProvisionError | None = None
    outcomes: tuple[Outcome, ...] = ()
    simulator.meet(case.setup)
    try:
        outcomes = operator.launch(len(ALL))
    except ProvisionError as exc:
        error = exc
    good = had | {name: made for name, made in machines(simulator).items() if name[-5:] in ready(outcomes)}
    first = Left(doubles(simulator), orphans(simulator))
    simulator.meet(Setup())
    if case.repaired is not None:
        simulator.clock.sleep(case.repaired)
        assert ready(operator.repair(len(ALL), calm)) == [*case.ends]
        assert operator.repairs(len(ALL), calm) == ()
    again = ready(operator.launch(len(ALL), calm))
    second = Left(doubles(simulator), orphans(simulator))
    kept = {name: made for name, made in machines(simulator).items() if name in good}
    return Told(case, failed(outcomes), error, good, first, again, second, kept)


each_case = pytest.mark.parametrize("told", [pytest.param(case, id=case.name) for case in CASES], indirect=True)


@each_case
def test_nothing_is_lost_and_a_second_run_completes(told: Told) -> None:
    assert told.first == told.second == Left([], [])
    assert told.finally_ready == ALL
    assert told.kept == told.good


@each_case
def test_the_first_run_ends_as_it_should(told: Told) -> None:
    case = told.case
    if case.stops:
        assert told.error is not None
        assert re.search(case.stops, told.error.message)
        return
    assert told.error is None
    if "" in case.ends:  # one of the two, whoever came last
        assert len(told.failures) == 1
        ((stage, words),) = case.ends.values()
        expected = {next(iter(told.failures)): (stage, words)}
    else:
        expected = dict(case.ends)
    assert {*told.failures} == {*expected}
    for student, (stage, words) in expected.items():
        assert re.fullmatch(stage, told.failures[student].stage)
        assert words in told.failures[student].reason
