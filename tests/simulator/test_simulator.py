"""The instrument itself: its time, what it keeps, what it bears, and how its faults reach a client."""

import re
from email.utils import parsedate_to_datetime
from queue import SimpleQueue

import pytest
import requests

from provision.clock import Clock

from .clock import FastClock, StandstillError, VirtualClock
from .faults import ANY_CALL, Capacity, Delay, Drop, Fault, Hang, Latency, RetryDate, Say, Setup, Trickle, Truncate
from .server import Simulator
from .staff import Operator, doubles, orphans, ready

AGES = 10_000.0  # seconds


def test_time_passes_when_everybody_waits() -> None:
    clock, seen = VirtualClock(), SimpleQueue[str]()
    begun = clock.now()

    def worker(name: str, seconds: float) -> None:
        clock.sleep(seconds)
        seen.put(name)

    for name, seconds in (("late", AGES), ("soon", 1.0), ("later", 2 * AGES)):
        clock.start(lambda name=name, seconds=seconds: worker(name, seconds))  # type: ignore[misc]
    assert [clock.take(seen), clock.take(seen)] == ["soon", "late"]
    assert clock.now() == begun + AGES
    assert clock.take(seen, 5) is None
    assert clock.now() == begun + AGES + 5
    clock.sleep(-1)
    assert clock.now() == begun + AGES + 5
    clock.sleep(1e-9)
    assert clock.now() > begun + AGES + 5  # or a loop that waits for a moment would never see it


def test_nothing_waits_for_ever_unseen() -> None:
    with pytest.raises(StandstillError):
        VirtualClock().take(SimpleQueue[str]())


def test_a_class_is_launched_and_deleted(simulator: Simulator, operator: Operator) -> None:
    assert len(ready(operator.launch(3))) == 3
    assert (doubles(simulator), orphans(simulator)) == ([], [])
    assert simulator.cloud.used == {
        "networks": 3, "subnets": 3, "routers": 3, "ports": 9, "security groups": 3, "security group rules": 18,
        "floating IPs": 3, "instances": 3, "vCPUs": 3, "RAM (MiB)": 6144,
    }  # fmt: skip
    assert operator.delete() == 3
    assert not any(simulator.cloud.used.values())


def ask(simulator: Simulator) -> tuple[requests.Response | None, float]:
    """What the simulator answers to a harmless call, and how many of its seconds that took."""
    begun = simulator.clock.now()
    try:
        answer = requests.get(f"{simulator.url}/identity/v3", timeout=1)
    except requests.ConnectionError:
        return None, simulator.clock.now() - begun
    return answer, simulator.clock.now() - begun


@pytest.mark.parametrize(
    ("trouble", "status", "body", "seconds"),
    [
        (Say(429), 429, '"code": 429', 0),
        (Say(503), 503, "<h1>503</h1>", 0),
        (Say(200, "<p>Hello</p>"), 200, "^<p>Hello</p>$", 0),
        (Delay(30), 200, "v3.14", 30),
        (Trickle(2), 200, "v3.14", 300),
    ],
    ids=str,
)
def test_a_fault_as_its_client_sees_it(
    simulator: Simulator, trouble: Say | Delay | Trickle, status: int, body: str, seconds: float
) -> None:
    simulator.meet(Setup(latency=Latency(0, 0), faults=(Fault(ANY_CALL, trouble),)))
    answer, took = ask(simulator)
    assert answer is not None
    assert answer.status_code == status
    assert re.search(body, answer.text)
    assert seconds <= took < 2 * seconds + 1


@pytest.mark.parametrize("trouble", [Drop(), Drop(reset=True), Truncate()], ids=str)
def test_a_connection_that_breaks(simulator: Simulator, trouble: Drop | Truncate) -> None:
    simulator.meet(Setup(faults=(Fault(ANY_CALL, trouble, times=1),)))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.get(f"{simulator.url}/identity/v3", timeout=1)
    assert ask(simulator)[0] is not None


def test_a_call_that_is_never_answered_takes_as_long_as_its_client_waits(simulator: Simulator) -> None:
    simulator.meet(Setup(faults=(Fault(ANY_CALL, Hang(60)),)))
    begun = simulator.clock.now()
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{simulator.url}/identity/v3", timeout=0.2)
    assert simulator.clock.now() == pytest.approx(begun + 60, abs=1)


def test_a_date_to_come_back_is_told_by_the_simulators_clock(simulator: Simulator) -> None:
    simulator.meet(Setup(faults=(Fault(ANY_CALL, RetryDate(30)),)))
    answer, _ = ask(simulator)
    assert answer is not None
    date = parsedate_to_datetime(answer.headers["Retry-After"]).timestamp()
    assert date == pytest.approx(simulator.clock.now() + 30, abs=1)


def test_faults_come_when_and_as_often_as_they_are_told_to(simulator: Simulator) -> None:
    seconds, late = Fault(ANY_CALL, Say(503), skip=1, times=2), Fault(ANY_CALL, Say(429), begin=100, end=200)
    simulator.meet(Setup(latency=Latency(0, 0), faults=(seconds, late)))
    statuses = []
    for wait in (0, 0, 0, 0, 150, 100):
        simulator.clock.sleep(wait)
        answer, _ = ask(simulator)
        assert answer is not None
        statuses.append(answer.status_code)
    assert statuses == [200, 503, 503, 200, 429, 200]


def sent_at(simulator: Simulator, rate: float) -> float:
    """The share of 100 new stacks that are taken, asked for at `rate` a second."""
    simulator.meet(Setup(latency=Latency(0, 0), capacity=Capacity(strain=0)))
    taken = 0
    for _ in range(100):
        simulator.clock.sleep(1 / rate)
        answer = requests.post(f"{simulator.url}/heat/v1/x/stacks", json={"stack_name": "a"}, timeout=9)
        taken += answer.status_code < 500
    return taken / 100


@pytest.mark.parametrize(("rate", "share"), [(1.0, 1.0), (1.5, 1.0), (2.1, 0.22), (10.0, 0.19)])
def test_the_cloud_collapses_when_too_much_is_asked_for(simulator: Simulator, rate: float, share: float) -> None:
    assert sent_at(simulator, rate) == pytest.approx(share, abs=0.03)


def test_clocks_are_clocks() -> None:
    clocks: tuple[Clock, ...] = (VirtualClock(), FastClock())
    for clock in clocks:
        begun = clock.now()
        clock.sleep(1)
        assert clock.now() >= begun + 1
        assert clock.take(SimpleQueue[str](), 1) is None
