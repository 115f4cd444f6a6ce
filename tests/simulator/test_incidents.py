"""What people do to a cohort behind its back, two at once, and a whole class through bad weather."""

from collections.abc import Callable
from queue import SimpleQueue

import pytest

from provision.core.outcome import Outcome
from provision.errors import PreflightError, ProvisionError, StudentsFailedError
from provision.progress import Silent
from provision.workflows.locking import hold

from . import world
from .cases import WEATHER
from .faults import Capacity, Latency, Setup
from .server import Simulator
from .staff import Operator, doubles, failed, machines, orphans, ready

ONE_STACK = r"^GET /heat/.*/stacks/[^/]+/[^/?]+$"  # its outputs


def test_a_stack_that_cannot_be_deleted_is_named_and_a_second_run_completes(
    simulator: Simulator, operator: Operator
) -> None:
    operator.launch(2)
    port = simulator.cloud.attach_port("demo-26J-s0001")
    with pytest.raises(StudentsFailedError, match=r"demo-26J-s0001: network: .* ports still in use on the network"):
        operator.delete()
    assert [stack.name for stack in simulator.cloud.stacks.values()] == ["demo-26J-s0001"]
    simulator.cloud.remove("ports", port)
    assert operator.delete() == 1
    assert not any(simulator.cloud.used.values())


def test_a_server_that_was_deleted_by_hand_is_made_anew(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    kept = machines(simulator)["demo-26J-s0000"]
    simulator.cloud.delete_server("demo-26J-s0001")
    assert ready(operator.repair(2)) == ["s0001"]
    assert ready(operator.launch(2)) == ["s0000", "s0001"]
    assert machines(simulator)["demo-26J-s0000"] == kept
    assert (doubles(simulator), orphans(simulator)) == ([], [])


def test_a_server_that_was_deleted_by_hand_is_told(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    simulator.cloud.delete_server("demo-26J-s0001")
    outcomes = operator.launch(2)
    assert (ready(outcomes), failed(outcomes)["s0001"].stage) == (["s0000"], "web")
    assert operator.delete() == 2
    assert not any(simulator.cloud.used.values())


def test_a_rule_that_was_opened_by_hand_is_closed(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    rules, kept = {*simulator.cloud.things["security_group_rules"]}, machines(simulator)
    simulator.cloud.open_rule("demo-26J-s0000")
    (found,) = operator.repairs(2)
    assert (found.student, found.cure, found.why) == ("s0000", "close", "tcp from 0.0.0.0/0 is open, and should not be")
    operator.repair(2)
    assert ({*simulator.cloud.things["security_group_rules"]}, machines(simulator)) == (rules, kept)
    assert operator.repairs(2) == ()


def test_a_floating_ip_that_was_deleted_by_hand_is_made_anew(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    kept = machines(simulator)
    simulator.cloud.remove("floatingips", simulator.cloud.thing_of("demo-26J-s0001", "floatingips")["id"])
    assert ready(operator.repair(2)) == ["s0001"]
    assert (machines(simulator), operator.repairs(2), orphans(simulator)) == (kept, (), [])


def test_who_sleeps_is_left_to_sleep_and_the_others_get_machines(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    operator.suspend(2)
    begun = simulator.clock.now()
    outcomes = operator.launch(3)
    assert ready(outcomes) == ["s0002"]
    assert {name: (each.stage, each.hint) for name, each in failed(outcomes).items()} == dict.fromkeys(
        ("s0000", "s0001"), ("asleep", "Wake them first: provision cohort resume COHORT")
    )
    assert simulator.clock.now() - begun < operator.deadline, "nobody waits for machines that sleep"
    assert ready(operator.resume(3)) == ["s0000", "s0001", "s0002"]
    assert operator.repairs(3) == ()


@pytest.mark.parametrize("verb", [Operator.repair, Operator.suspend, Operator.resume])
def test_what_changes_a_cohort_excludes_all_else(
    simulator: Simulator, operator: Operator, verb: Callable[[Operator, int], object]
) -> None:
    operator.launch(1)
    simulator.cloud.open_rule("demo-26J-s0000")
    holder = operator.connect()
    with (
        hold(holder, world.COHORT, "launch", simulator.clock, Silent()),
        pytest.raises(PreflightError, match="launch by"),
    ):
        verb(operator, 1)
    verb(operator, 1)


def test_what_somebody_left_behind_goes_and_what_a_stack_has_stays(simulator: Simulator, operator: Operator) -> None:
    operator.launch(1)
    cloud, kept = simulator.cloud, machines(simulator)
    cloud.add("ports", {"name": "left", "tags": ["provision=demo-26J"], "network_id": "x"})
    cloud.add("networks", {"name": "left", "tags": ["provision=demo-26J"]})
    assert operator.gc() == 2
    assert (machines(simulator), orphans(simulator), ready(operator.launch(1))) == (kept, [], ["s0000"])


def test_addresses_come_from_two_lists_and_what_they_do_not_tell_from_its_stack(
    simulator: Simulator, operator: Operator
) -> None:
    operator.launch(6)
    simulator.cloud.thing_of("demo-26J-s0003", "floatingips")["port_id"] = None
    simulator.meet(Setup())
    assert len(ready(operator.launch(6))) == 6
    assert simulator.count(ONE_STACK) == 1


def test_of_two_operators_at_once_one_is_sent_away(simulator: Simulator, operator: Operator) -> None:
    simulator.meet(Setup(latency=Latency(0.05, 0.5, spread=0.5)))
    ends: SimpleQueue[tuple[Outcome, ...] | ProvisionError] = SimpleQueue()
    for name in ("one", "two"):
        theirs = Operator(simulator.url, simulator.clock, operator.folder / name)
        theirs.folder.mkdir(parents=True)
        simulator.clock.start(lambda theirs=theirs: ends.put(_launched(theirs, 4)))  # type: ignore[misc]
    both = [simulator.clock.take(ends), simulator.clock.take(ends)]
    assert (doubles(simulator), orphans(simulator), len(simulator.cloud.stacks)) == ([], [], 4)
    won = [end for end in both if isinstance(end, tuple)]
    assert [len(ready(end)) for end in won] == [4]


def _launched(operator: Operator, students: int) -> tuple[Outcome, ...] | ProvisionError:
    try:
        return operator.launch(students)
    except ProvisionError as exc:
        return exc


def test_a_class_comes_through_bad_weather_with_nobody_helping(simulator: Simulator, operator: Operator) -> None:
    simulator.meet(Setup(latency=Latency(0.1, 0.5, spread=0.3), capacity=Capacity(), faults=WEATHER))
    assert len(ready(operator.launch(60))) == 60
    assert (doubles(simulator), orphans(simulator)) == ([], [])
