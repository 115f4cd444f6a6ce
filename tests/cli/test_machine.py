"""What is typed for one machine: which ports, and that every verb says what it is for."""

import pytest
from click import BadParameter
from click.testing import CliRunner

from provision.cli.app import COMMANDS, cli
from provision.cli.machine_tunnel import parse_forward
from provision.guests.tunnel import Forward, free_port

VERBS = ("up", "ssh", "ssh-config", "open", "tunnel", "status", "halt", "resume", "destroy", "snapshot", "diagnose")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_is_for(verb: str) -> None:
    assert verb in COMMANDS
    helped = CliRunner().invoke(cli, [verb, "--help"])
    assert helped.exit_code == 0
    assert f"Usage: cli {verb} " in helped.stdout


def test_ports_as_they_are_written() -> None:
    assert parse_forward("8080:3333") == Forward(8080, 3333)
    assert parse_forward("8080:db.example:5432") == Forward(8080, 5432, "db.example")
    port = free_port()
    assert parse_forward(str(port)) == Forward(port, port)
    assert str(Forward(8080, 3333)) == "127.0.0.1:8080 leads to port 3333 of the machine"


@pytest.mark.parametrize("words", ["", "0", "x", "65536", "1:2:3:4", "8080:", ":80", "8080:-oProxyCommand=x:80"])
def test_what_is_no_port(words: str) -> None:
    with pytest.raises(BadParameter, match="such as 5432"):
        parse_forward(words)
