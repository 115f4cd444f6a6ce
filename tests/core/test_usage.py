"""What a cohort has used, and what the next one takes."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.drift import FloatingIP, Parts, Port
from provision.core.plan import Stack
from provision.core.servers import Server
from provision.core.shape import PRIVATE, Shape
from provision.core.usage import Usage, next_needs, total, usage

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def server(number: int, created: str, vcpus: int = 2) -> Server:
    return Server(f"s{number}", f"n{number}", "ACTIVE", created=created, flavor="m1", vcpus=vcpus, memory=4096, disk=20)


def test_hours_are_from_the_making_and_nobody_without_a_machine_has_any() -> None:
    stacks = [Stack(str(number), name, name, "CREATE_COMPLETE", "", "") for number, name in enumerate("abc")]
    servers = (server(0, "2026-11-23T10:00:00Z"), server(1, "2026-11-24T09:30:00Z"), server(9, "2026-11-01T00:00:00Z"))
    parts = Parts(
        servers,
        {"s0": "a", "s1": "b"},
        (Port("p0", "", "s0", ""), Port("p1", "", "s1", "")),
        (FloatingIP("f0", "203.0.113.1", "p0"), FloatingIP("f1", "203.0.113.2", "")),
    )
    used = usage(stacks, parts, NOW)
    assert used == (
        Usage("a", "ACTIVE", "m1", 24.0, 48.0, 96.0, 480.0, 1),
        Usage("b", "ACTIVE", "m1", 0.5, 1.0, 2.0, 10.0, 0),
    )
    assert total(used) == Usage("all", "2 machines", "", 24.5, 49.0, 98.0, 490.0, 1)
    assert usage(stacks, Parts((server(0, ""),), {"s0": "a"}), NOW)[0].hours == 0


@pytest.mark.parametrize(
    ("shape", "needed"),
    [
        (PRIVATE, {"instances": 300, "vCPUs": 600, "RAM (MiB)": 1228800, "routers": 300, "public addresses": 600}),
        (Shape("shared"), {"instances": 300, "vCPUs": 600, "routers": 2, "public addresses": 302, "stacks": 302}),
        (Shape("shared", floating_ip=False), {"instances": 302, "floating IPs": 2, "public addresses": 4}),
    ],
)
def test_the_next_class(shape: Shape, needed: dict[str, int]) -> None:
    servers = [server(1, ""), server(2, ""), server(3, "", vcpus=8)]
    assert needed.items() <= next_needs(300, servers, shape, (None, None)).items()


@given(st.integers(1, 5000), st.dates(date(2026, 1, 1), date(2026, 6, 1)), st.integers(0, 400))
def test_hours_of_the_next_class(students: int, first: date, more: int) -> None:
    last = date.fromordinal(first.toordinal() + more)
    needed = next_needs(students, [server(1, "")], PRIVATE, (first, last))
    assert needed["machine hours"] == students * 24 * (more + 1)
    assert needed["vCPU hours"] == 2 * needed["machine hours"]
    assert needed["memory GiB hours"] == 4 * needed["machine hours"]
    assert "machine hours" not in next_needs(students, [server(1, "")], PRIVATE, (first, None))
