"""A class is laid to sleep and woken: what Nova is asked, once, and how it ends for each."""

from pathlib import Path

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.core.outcome import Failed
from provision.core.roster import Student
from provision.errors import NotFoundError
from provision.progress import Silent
from provision.workflows.cohort import status
from provision.workflows.handouts import ensure_handouts
from provision.workflows.orders import Order
from provision.workflows.power import Asleep, resume, suspend

from .conftest import NEUTRON, lock_is_free
from .nova import Nova
from .test_launch import COMPLETE, TAG, Heat, order


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud that is asked every moment."""
    monkeypatch.setattr("provision.workflows.servers.POLL", 0.05)


@pytest.fixture(autouse=True)
def lock(http: rm.Mocker) -> None:
    lock_is_free(http)


def lay(cloud: Connection, wanted: Order, *, shelve: bool = False, deadline: float = 20) -> dict[str, str]:
    outcomes = suspend(cloud, wanted, shelve=shelve, deadline=deadline, progress=Silent())
    return {each.student: each.state if isinstance(each, Asleep) else each.reason for each in outcomes}


def test_every_machine_of_the_cohort_sleeps(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    heat, nova = Heat(http), Nova(http, hasty=(409, 2), refused=(403, 9))
    students = ("ada", "off", "hasty", "refused", "broken", "shelved")
    for student in students:
        heat.add(student, COMPLETE)
    heat.add("", COMPLETE, f"{TAG},shared", "demo-26J.shared-1")
    for student, state in zip(students, ("ACTIVE", "SHUTOFF", "ACTIVE", "ACTIVE", "ERROR", "SHELVED"), strict=True):
        nova.add(student, state, fault={"message": "disk on fire"})
    nova.add("gateway", "ACTIVE", "demo-26J--gateway-1")
    nova.add("stranger", "ACTIVE", metadata={"provision": "provision=other-26J"})
    ended = lay(cloud, order(*students))
    assert "The user's role does not allow this" in ended.pop("refused")
    assert ended == {
        "ada": "SUSPENDED",
        "off": "SHUTOFF",
        "hasty": "SUSPENDED",
        "broken": "its server is in ERROR: disk on fire",
        "shelved": "SHELVED",
        "shared 1": "SUSPENDED",
    }
    asked = ["suspend ada", "suspend gateway", *["suspend hasty"] * 3, *["suspend refused"] * 3]
    assert sorted(nova.asked) == asked
    nova.asked.clear()
    nova.fate.clear()
    lay(cloud, order(*students))
    assert nova.asked == ["suspend refused"]
    standings = status(cloud, order(*students), folder=tmp_path, deadline=0.1)
    assert {each.student: each.asleep for each in standings if each.asleep} == {
        "ada": "SUSPENDED",
        "hasty": "SUSPENDED",
        "refused": "SUSPENDED",
        "shelved": "SHELVED",
    }


def test_shelving_goes_further_than_suspending(cloud: Connection, http: rm.Mocker) -> None:
    heat, nova = Heat(http), Nova(http)
    heat.add("ada", COMPLETE)
    nova.add("ada", "SUSPENDED")
    assert lay(cloud, order("ada")) == {"ada": "SUSPENDED"}
    assert lay(cloud, order("ada"), shelve=True) == {"ada": "SHELVED_OFFLOADED"}
    assert nova.asked == ["shelve ada"]


def test_what_takes_too_long_is_said(cloud: Connection, http: rm.Mocker) -> None:
    heat, nova = Heat(http), Nova(http)
    heat.add("ada", COMPLETE)
    nova.add("ada", "BUILD")
    assert lay(cloud, order("ada"), deadline=0.01) == {"ada": "its server is still BUILD"}


def test_what_wakes_is_proved(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    heat, nova = Heat(http), Nova(http)
    ensure_handouts(
        tmp_path, [Student(each, each, "a@x.org") for each in ("ada", "bob", "eve", "gone")], "student", "http"
    )
    for student, state in (("ada", "SUSPENDED"), ("bob", "SHELVED_OFFLOADED"), ("eve", "ACTIVE"), ("gone", "")):
        heat.add(student, COMPLETE)
        if state:
            nova.add(student, state)
    for kind in ("floatingips", "ports"):  # where the lists say nothing, each stack is asked
        http.get(f"{NEUTRON}/v2.0/{kind}", json={kind: []})
    outcomes = resume(cloud, order("ada", "bob", "eve", "gone"), folder=tmp_path, deadline=1, progress=Silent())
    assert sorted(nova.asked) == ["resume ada", "unshelve bob"]
    # Nothing listens at this cloud's addresses: who gets as far as the network was proved.
    assert {each.student: each.stage for each in outcomes if isinstance(each, Failed)} == {
        "ada": "network",
        "bob": "network",
        "eve": "network",
        "gone": "server",
    }


def test_a_cohort_that_is_not_there_does_not_sleep(cloud: Connection, http: rm.Mocker) -> None:
    Heat(http)
    with pytest.raises(NotFoundError, match="demo-26J has no machines"):
        lay(cloud, order("ada"))
