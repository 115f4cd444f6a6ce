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
    own, another = [f"{NETWORK}:{number}" for number in range(1, 31)], "2001:db8:1:3::1"
    added = [f"ip address add {address}/64 dev lo nodad" for address in (*own, another)]
    machine.run("sh", "-c", "; ".join(added))
    assert 429 in [tried(address) for address in own]
    assert tried(another) != 429


def tried(address: str) -> int:
    """How a wrong password from an address is answered."""
    connection = http.client.HTTPConnection("[::1]", timeout=TIMEOUT, source_address=(address, 0))
    connection.request("POST", "/login", "password=x", HEADERS)
    answer = connection.getresponse().status
    connection.close()
    return answer
