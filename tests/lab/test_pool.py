"""Claims on the real cloud, 200 at once: what Neutron excludes, what Heat writes down, and that nothing is made anew.

No machine boots: the pooled stacks are of a template that makes a random string, and their guests are told of here.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from provision.clock import REAL
from provision.cloud.claims import drop_claim, ensure_place, observe_claims, take_claim
from provision.cloud.connection import connect
from provision.cloud.stacks import create_stack, observe_machines, observe_pool, stack_holds
from provision.core.naming import POOL_TAG, WARM_TAG, cohort_tag, pool_name
from provision.core.plan import Stack
from provision.core.pool import Claim
from provision.core.roster import Student
from provision.errors import CloudError
from provision.guests import caretaker
from provision.guests.access import Access
from provision.guests.credentials import jupyter_hash
from provision.guests.probes import Stage
from provision.progress import Silent
from provision.workflows.cohort import delete
from provision.workflows.courses import read_course
from provision.workflows.handouts import ensure_handouts
from provision.workflows.orders import Order
from provision.workflows.pool import Pool, claim
from provision.workflows.settling import end_claims

COHORT = "demo-LABPOOL"
CLAIMERS, MACHINES, PORTALS = 200, 8, 8
TEMPLATE = """
heat_template_version: 2018-08-31
resources:
  word: {type: OS::Heat::RandomString}
outputs:
  address: {value: 192.0.2.1}
  server_id: {value: {get_resource: word}}
"""
HASH = jupyter_hash("secret")


@dataclass
class Guests:
    """The machines from inside: to whom each was bound."""

    bound: dict[str, list[str]] = field(default_factory=dict)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def bind(self, access: Access, claimed: caretaker.Claim) -> None:
        with self.mutex:
            self.bound.setdefault(access.host_alias, []).append(claimed.student)


def at_once(count: int, do: Callable[[int], Any]) -> list[Any]:
    """What comes of `do`, begun in all threads in the same moment."""
    ready = threading.Barrier(count)

    def run(number: int) -> Any:
        ready.wait()
        return do(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


@pytest.fixture
def portals(lab: object) -> Iterator[list[Any]]:
    """Connections, as several portals have them, each of which has found its way to every service."""
    made = [connect("lab") for _ in range(PORTALS)]
    for each in made:
        observe_claims(each, COHORT, REAL)
        observe_pool(each, cohort_tag(COHORT))
    yield made
    delete(made[0], COHORT, deadline=300, progress=Silent())


def test_of_two_hundred_one_gets_a_machine_and_one_of_a_student(portals: list[Any]) -> None:
    """Neutron alone: a port with two addresses is made with both or not at all, and frees both."""
    place = ensure_place(portals[0], REAL)
    stacks = [Stack(str(uuid.uuid4()), pool_name(COHORT, number), "", "", "", "") for number in range(1, MACHINES + 1)]

    def take(number: int, machine: Stack, student: str) -> Claim | None:
        while True:
            try:
                return take_claim(portals[number % PORTALS], place, COHORT, machine, student, REAL)
            except CloudError:
                sleep(1)  # it is not the cloud's haste that is tested

    for _ in range(2):  # what a claim held is free after it
        won = [c for c in at_once(CLAIMERS, lambda n: take(n, stacks[n % MACHINES], f"s{n:03}")) if c]
        assert Counter(each.stack for each in won) == Counter(stack.id for stack in stacks)
        end_claims(portals[0], COHORT, REAL)
        place = ensure_place(portals[0], REAL)
        won = [c for c in at_once(CLAIMERS, lambda n: take(n, _other(n), "s000")) if c]
        assert len(won) == 1
        assert len(observe_claims(portals[0], COHORT, REAL)) == 1
        drop_claim(portals[0], won[0])


def _other(number: int) -> Stack:
    return Stack(str(uuid.UUID(int=number)), pool_name(COHORT, number + 1), "", "", "", "")


def test_two_hundred_claim_a_handful(
    portals: list[Any], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tag = cohort_tag(COHORT)
    for number in range(1, MACHINES + 1):
        create_stack(portals[0], pool_name(COHORT, number), TEMPLATE, {}, tag, POOL_TAG, WARM_TAG)
    while not all(stack.complete for stack in observe_pool(portals[0], tag)):
        sleep(1)
    made = observe_pool(portals[0], tag)
    assert len(made) == MACHINES
    before = {stack.id: stack_holds(portals[0], stack) for stack in made}
    students = tuple(Student(f"s{number:03}", "", "") for number in range(CLAIMERS))
    ensure_handouts(tmp_path, students, "student", "http")
    order = Order(read_course("demo")[0], COHORT, "LABPOOL", students)
    guests, proof = Guests(), (Stage("nothing", lambda _access, _end: None, "", ""),)
    ensure_place(portals[0], REAL)

    def press(number: int) -> tuple[str, Access | None, float]:
        student, begun = students[number].id, monotonic()
        pool = Pool(portals[number % PORTALS], order, tmp_path, guests.bind, proof)
        while True:
            try:
                return student, claim(pool, student, HASH, ("ssh-ed25519 AAAA",), lambda _: None), monotonic() - begun
            except CloudError:
                sleep(2)  # as a student does who is told that the cloud is busy

    ends = at_once(CLAIMERS, press)
    got = {access.host_alias: student for student, access, _ in ends if access}
    took = sorted(seconds for _, access, seconds in ends if access)
    record_property("seconds of the claims", " ".join(f"{each:.1f}" for each in took))
    assert len(got) == MACHINES == sum(access is not None for _, access, _ in ends)
    assert all(set(who) == {got[stack]} for stack, who in guests.bound.items())
    assert {stack.id: stack.student for stack in observe_machines(portals[0], tag)} == got
    assert observe_claims(portals[0], COHORT, REAL) == ()
    while not all(stack.complete for stack in observe_machines(portals[0], tag)):
        sleep(1)
    assert {stack.id: stack_holds(portals[0], stack) for stack in observe_machines(portals[0], tag)} == before
