"""The public port over IPv6, and a limit on passwords that more addresses do not lift."""

import http.client

from tests.roles.container import Container
from tests.roles.web.conftest import TIMEOUT, visit

NETWORK = "2001:db8:1:2:"
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


def test_the_machine_answers_over_ipv6(machine: Container) -> None:
    assert visit("healthz", at="http://[::1]/").status_code == 200
    assert machine.run("nginx", "-T").count("listen [::]:80 default_server;") == 1


def test_whoever_has_a_network_has_no_more_tries_of_a_password(machine: Container) -> None:
    assert 429 in [tried(machine, f"{NETWORK}:{number:x}") for number in range(1, 21)]
    assert tried(machine, "2001:db8:1:3::1") != 429


def tried(machine: Container, address: str) -> int:
    """How a wrong password from one of many addresses is answered."""
    machine.run("ip", "address", "add", f"{address}/64", "dev", "lo", "nodad")
    connection = http.client.HTTPConnection("::1", timeout=TIMEOUT, source_address=(address, 0))
    connection.request("POST", "/login", "password=x", HEADERS)
    answer = connection.getresponse().status
    connection.close()
    return answer
