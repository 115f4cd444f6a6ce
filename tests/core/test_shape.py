"""A network's shape: what can be connected, and rules that let in the world but no neighbour."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.shape import ANYWHERE, ROOM, SUBNET, Shape, Sources, check_shape, gateway_ports, outside, sources
from provision.errors import InvalidInputError

HOLE = IPv4Network(SUBNET)
networks = st.builds(
    lambda address, size: str(IPv4Network((address, size), strict=False)),
    st.one_of(st.integers(0, 2**32 - 1), st.integers(int(HOLE[0]) - 600, int(HOLE[-1]) + 600)),
    st.integers(0, 32),
)


@pytest.mark.parametrize(
    ("cidr", "parts"),
    [
        ("192.0.2.0/24", ["192.0.2.0/24"]),  # does not meet it
        ("10.21.0.0/23", ["10.21.1.0/24"]),
        ("10.21.0.0/22", ["10.21.1.0/24", "10.21.2.0/23"]),
        (SUBNET, []),
        ("10.21.0.128/25", []),
    ],
)
def test_a_network_without_the_students_own(cidr: str, parts: list[str]) -> None:
    assert list(outside(cidr)) == parts


@given(networks, st.integers(0, 2**32 - 1))
def test_exactly_the_neighbours_are_left_out(cidr: str, number: int) -> None:
    parts = [IPv4Network(part) for part in outside(cidr)]
    for address in (IPv4Address(number), HOLE[number % 256], IPv4Network(cidr)[0], IPv4Network(cidr)[-1]):
        wanted = address in IPv4Network(cidr) and address not in HOLE
        assert sum(address in part for part in parts) == wanted
    assert len(parts) <= 24


def test_the_sources_of_each_shape() -> None:
    assert sources(Shape()) == Sources((ANYWHERE,), (ANYWHERE,))
    assert sources(Shape(web_cidr="192.0.2.0/24", ssh_cidr=None)) == Sources(("192.0.2.0/24",), ())
    for floating_ip in (True, False):
        shared = sources(Shape("shared", floating_ip, ssh_cidr="10.21.0.0/23"))
        assert (len(shared.web), shared.ssh) == (24, ("10.21.1.0/24",))
    assert sources(Shape("shared", ssh_cidr=None)).ssh == ()


@pytest.mark.parametrize(
    ("shape", "problems"),
    [
        (Shape(), []),
        (Shape("shared"), []),
        (Shape("shared", floating_ip=False, ssh_cidr=None), []),
        (Shape(floating_ip=False), ["takes a public address in any case"]),
        (Shape(web_cidr="10.21.0.0/25"), []),  # each student is alone on it
        (Shape("shared", web_cidr="10.21.0.0/25", ssh_cidr="10.21.0.9/32"), ["access.web: 10.21", "access.ssh: 10.21"]),
        (Shape("shared", web_cidr="::/0", ssh_cidr="1.2.3.4/24"), ["access.web: '::/0'", "access.ssh: '1.2.3.4/24'"]),
        (Shape(web_cidr="campus", floating_ip=False), ["public address", "access.web: 'campus'"]),
    ],
)
def test_shapes_that_cannot_be_are_refused_with_every_reason(shape: Shape, problems: list[str]) -> None:
    if not problems:
        check_shape(shape)
        return
    with pytest.raises(InvalidInputError) as caught:
        check_shape(shape)
    assert len(caught.value.problems) == len(problems)
    for said, words in zip(caught.value.problems, problems, strict=True):
        assert words in said


def test_every_machine_has_ports_of_its_own_on_the_gateway() -> None:
    hosts = list(HOLE.hosts())
    ports = [port for host in hosts for port in gateway_ports(str(host))]
    assert len(set(ports)) == len(ports) == 2 * len(hosts)
    assert gateway_ports("10.21.0.17") == (20017, 30017)
    assert max(ports) < 32768, "Linux gives its own connections the ports from there on"
    assert len(hosts) - ROOM > 20, "the router, DHCP and the gateway take addresses, too"
