"""The pool: no machine is given twice, nobody gets two, whoever is killed when; and other verbs know the machines."""

from dataclasses import replace
from pathlib import Path

import pytest

from provision.cloud.claims import NAME, observe_claims
from provision.core.plan import Keep
from provision.core.pool import LEASE, Terms
from provision.core.shape import Shape
from provision.errors import CloudError, NotFoundError, PreflightError
from provision.guests.access import Access
from provision.guests.caretaker import TakenError
from provision.progress import Silent
from provision.workflows.cohort import plan
from provision.workflows.settling import settle_claims
from provision.workflows.stocking import Keeper
from provision.workflows.warming import discard, drain, look, start

from . import others, world
from .claimers import Deadly, Desk, KilledError, at_once, given_twice, owners
from .faults import NO_HOST, Delay, Drop, Fate, Fault, Say, Setup
from .server import Simulator
from .staff import Operator, doubles, machines, orphans, ready, serving


@pytest.fixture
def desk(simulator: Simulator, tmp_path: Path) -> Desk:
    return Desk(simulator, tmp_path / "handouts")


def keeper(desk: Desk, size: int, deadline: float = 600) -> Keeper:
    proof = (serving(desk.simulator.url, desk.simulator.clock, 1),)
    return Keeper(desk.pool(), Terms(size), proof, deadline=deadline)


def claims(desk: Desk) -> int:
    return len(observe_claims(desk.pool().connection, world.COHORT, desk.simulator.clock))


def test_a_pool_is_filled_kept_and_drained(simulator: Simulator, desk: Desk) -> None:
    seen = start(keeper(desk, 3), Silent(), keep=False)
    assert (len(seen.warm), len(simulator.cloud.stacks)) == (3, 3)
    had = machines(simulator)
    assert len(start(keeper(desk, 3), Silent(), keep=False).warm) == 3  # nothing to do
    assert (machines(simulator), doubles(simulator)) == (had, [])
    assert drain(desk.pool(), Silent(), deadline=600) == 3
    assert not any(simulator.cloud.used.values())


def test_machines_that_fail_or_never_answer_are_made_anew(simulator: Simulator, desk: Desk) -> None:
    simulator.meet(Setup(fates=(Fate("pool-1$", reason=NO_HOST, times=1), Fate("pool-2$", action="BOOT", times=1))))
    assert len(start(keeper(desk, 3), Silent(), keep=False).warm) == 3
    assert len(simulator.cloud.stacks) == 3
    assert claims(desk) == 0


def test_a_pool_that_nobody_could_hand_out_is_not_begun(simulator: Simulator, desk: Desk) -> None:
    closed = keeper(desk, 1)
    order = replace(closed.pool.order, shape=Shape(ssh_cidr=None))
    with pytest.raises(PreflightError, match="by SSH"):
        start(replace(closed, pool=replace(closed.pool, order=order)), Silent(), keep=False)
    assert not simulator.cloud.stacks


def test_no_room_is_told(simulator: Simulator, desk: Desk) -> None:
    simulator.meet(Setup(quotas={"instances": 1}))
    with pytest.raises(PreflightError, match="instances"):
        start(keeper(desk, 2), Silent(), keep=False)


def test_a_claimed_machine_is_the_students_for_every_verb(simulator: Simulator, desk: Desk) -> None:
    start(keeper(desk, 2), Silent(), keep=False)
    desk.enrol(2)
    had = machines(simulator)
    access = desk.claim(desk.pool(), "s0000")
    assert access
    assert owners(simulator.cloud) == {access.host_alias: "s0000"}
    assert machines(simulator) == had  # nothing was made anew
    (server,) = [each for each in simulator.cloud.things["servers"].values() if "student" in each["metadata"]]
    assert (server["metadata"]["student"], server["metadata"]["provision"]) == ("s0000", "provision=demo-26J")
    assert desk.claim(desk.pool(), "s0000") == access  # however often
    simulator.clock.sleep(60)
    operator = Operator(simulator.url, simulator.clock, desk.folder)
    made = plan(operator.connect(), world.order(1))
    assert [type(action) for action in made.actions] == [Keep]
    assert ready(operator.launch(2)) == ["s0000", "s0001"]  # a cold one for the other
    assert {**machines(simulator), **had} == machines(simulator)
    seen = look(desk.pool(), Terms(2))
    assert (len(seen.free), len(seen.taken), seen.claims) == (1, 1, ())
    (apart,) = [each["id"] for each in simulator.cloud.things["networks"].values() if each["name"] == NAME]
    known = {f"networks {apart}", *(f"subnets {each}" for each in others.subnets_of(simulator.cloud, apart))}
    assert (doubles(simulator), {*orphans(simulator)} - known) == ([], set())
    assert operator.delete() == 3
    assert not any(simulator.cloud.used.values())


def test_an_empty_pool_gives_nothing_and_who_has_no_handout_is_told(desk: Desk) -> None:
    desk.enrol(1)
    assert desk.claim(desk.pool(), "s0000") is None
    with pytest.raises(NotFoundError, match="no handout"):
        desk.claim(desk.pool(), "s0001")


def test_a_class_that_comes_at_once(simulator: Simulator, desk: Desk) -> None:
    desk.stock(40)
    desk.enrol(60)
    students = [f"s{number:04}" for number in range(60)]
    answers = at_once(desk, students, lambda student, seed: (student, desk.claim(desk.pool(seed=seed), student)))
    assert given_twice(desk, answers) == []
    assert sum(access is not None for _, access in answers) == 40
    assert len(owners(simulator.cloud)) == 40
    assert claims(desk) == 0


def test_one_student_who_clicks_in_many_places(simulator: Simulator, desk: Desk) -> None:
    desk.stock(8)
    desk.enrol(1)
    answers = at_once(desk, ["s0000"] * 12, lambda student, seed: (student, desk.claim(desk.pool(seed=seed), student)))
    assert given_twice(desk, answers) == []
    assert len({access for _, access in answers}) == len(owners(simulator.cloud)) == 1


def test_a_machine_is_either_claimed_or_given_back(simulator: Simulator, desk: Desk) -> None:
    desk.stock(12)
    desk.enrol(12)
    stacks = look(desk.pool(), Terms()).free

    def do(who: str, seed: int) -> tuple[str, Access | None]:
        if not who.startswith("pool"):
            return who, desk.claim(desk.pool(seed=seed), who)
        discard(desk.pool(), next(stack for stack in stacks if stack.student == who))
        return who, None

    students = [f"s{number:04}" for number in range(12)]
    answers = at_once(desk, [*students, *(stack.student for stack in stacks)], do)
    assert given_twice(desk, answers) == []
    simulator.clock.sleep(60)
    assert claims(desk) == 0
    assert {*simulator.cloud.stacks} == {*owners(simulator.cloud)}


def test_a_machine_that_is_no_good_is_deleted_and_another_given(simulator: Simulator, desk: Desk) -> None:
    desk.stock(3)
    desk.enrol(1)
    broken = {*list(simulator.cloud.stacks)[:2]}
    desk.guests.broken.update(broken)
    access = desk.claim(desk.pool(), "s0000")
    assert access
    assert owners(simulator.cloud) == {access.host_alias: "s0000"}
    assert access.host_alias not in broken
    assert claims(desk) == 0


@pytest.mark.parametrize("trouble", [Drop(acted=True), Say(503)], ids=str)
@pytest.mark.parametrize("call", ["^POST /neutron/v2.0/ports", "^PATCH /heat", "^POST /nova", "^DELETE /neutron"])
def test_trouble_on_the_way(simulator: Simulator, desk: Desk, call: str, trouble: Drop | Say) -> None:
    desk.stock(2)
    desk.enrol(1)
    simulator.meet(Setup(faults=(Fault(call, trouble, times=1),)))
    try:
        access = desk.claim(desk.pool(), "s0000")
    except CloudError:
        access = desk.claim(desk.pool(), "s0000")
    assert access
    assert given_twice(desk, [("s0000", access)]) == []


CALLS = 12  # of a claim, from its first look at the network of claims on


# Who dies behind an answer leaves what he would before his next call, but for what he does to the machine between.
@pytest.mark.parametrize(("call", "answered"), [(0, False), *((call, True) for call in range(CALLS + 1)), (11, False)])
def test_who_is_killed_at_any_step_leaves_no_half_claimed_machine(
    simulator: Simulator, desk: Desk, call: int, answered: bool
) -> None:
    desk.stock(3)
    desk.enrol(3)
    victim = desk.pool(seed=call)
    Deadly(victim, call, answered=answered)
    died = False
    try:
        desk.claim(victim, "s0000")
    except KilledError:
        died = True
    assert died == (call < CALLS)
    answers = [("s0001", desk.claim(desk.pool(), "s0001"))]
    if call % 2:  # he comes again at once; otherwise whoever keeps the pool settles it
        answers.append(("s0000", desk.claim(desk.pool(), "s0000")))
        assert answers[-1][1]
    simulator.clock.sleep(LEASE + 60)
    settle_claims(desk.pool(), lambda _stage: None)
    assert claims(desk) == 0
    answers += [(student, desk.claim(desk.pool(), student)) for student in ("s0000", "s0002")]
    assert given_twice(desk, answers) == []
    assert answers[-2][1]
    simulator.clock.sleep(60)
    for stack, student in owners(simulator.cloud).items():
        assert desk.guests.bound[stack][-1] == student


def test_who_was_slow_and_not_dead_takes_nothing_from_others(simulator: Simulator, desk: Desk) -> None:
    """A claim is undone while its process hangs; then that one wakes and goes on."""
    desk.stock(1)
    desk.enrol(2)
    late = Fault("^PATCH /heat", Delay(LEASE + 100), times=1)
    simulator.meet(Setup(faults=(late,)))
    slow = desk.pool()

    def sleepy(student: str, _seed: int) -> tuple[str, Access | None]:
        try:
            return student, desk.claim(slow, student)
        except CloudError:
            return student, None

    def other(student: str, _seed: int) -> tuple[str, Access | None]:
        simulator.clock.sleep(LEASE + 30)
        settle_claims(desk.pool(), lambda _stage: None)
        return student, desk.claim(desk.pool(), student)

    answers = at_once(desk, ["s0000", "s0001"], lambda who, seed: (sleepy if who == "s0000" else other)(who, seed))
    assert given_twice(desk, answers) == []


def test_who_is_being_launched_is_given_no_second_machine(simulator: Simulator, desk: Desk) -> None:
    desk.stock(2)
    desk.enrol(1)
    operator = Operator(simulator.url, simulator.clock, desk.folder)
    said: list[Access | None] = []

    def come(_student: str, number: int) -> None:
        if number:
            simulator.clock.sleep(20)  # the launch has asked for a stack, which takes 30 s
            said.append(desk.claim(desk.pool(), "s0000"))
        else:
            operator.launch(1)

    at_once(desk, ["s0000"] * 2, come)
    assert (said, claims(desk), len(owners(simulator.cloud))) == ([None], 0, 1)


def test_a_machine_that_says_it_is_anothers_is_never_deleted(simulator: Simulator, desk: Desk) -> None:
    desk.stock(1)
    desk.enrol(1)
    (stack,) = simulator.cloud.stacks
    desk.guests.bound[stack] = ["ada"]
    with pytest.raises(TakenError):
        desk.claim(desk.pool(), "s0000")
    simulator.clock.sleep(LEASE + 60)
    settle_claims(desk.pool(), lambda _stage: None)
    assert [*simulator.cloud.stacks] == [stack]
    assert desk.guests.bound[stack] == ["ada"]
