"""What a machine's neighbours reach of it, and what a student reaches of the cloud."""

import pytest

from tests.roles.conftest import Applied
from tests.roles.container import Container, booted
from tests.roles.outside import CONNECT, METADATA, THERE, THERE_6, listening, outside

CLOSED = (3334, 5432, 8888)


@pytest.mark.parametrize("address", [THERE, THERE_6])
def test_neighbours_reach_ssh_and_the_public_port_alone(applied: Applied, address: str) -> None:
    with booted(applied.root) as machine, outside(machine) as neighbour:
        inside = ("nsenter", "--target", str(machine.leader), "--net")
        with listening(inside, CLOSED):
            assert neighbour.reached((22, 80, *CLOSED), address) == {22, 80}
            machine.run("nft", "flush", "ruleset")
            assert neighbour.reached(CLOSED, address) == set(CLOSED), "without the firewall they would be reached"


def test_metadata_is_for_root_alone(applied: Applied) -> None:
    with booted(applied.root) as machine, outside(machine) as cloud, listening(cloud.way, (80,)):
        assert metadata_for(machine, "root") == "80"
        assert metadata_for(machine, "student") == ""
        assert metadata_for(machine, "www-data") == ""


def metadata_for(machine: Container, user: str) -> str:
    code = CONNECT.format(address=METADATA, ports=(80,))
    return machine.run("/usr/sbin/runuser", "-u", user, "--", "/usr/bin/python3", "-c", code)


def test_what_no_course_needs_is_masked(applied: Applied) -> None:
    units = applied.root / "etc/systemd/system"
    assert str((units / "rpcbind.service").readlink()) == "/dev/null"
    assert not (units / "cups.service").is_symlink(), "what a box has not is left alone"
