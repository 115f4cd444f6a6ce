"""What the toolkit asks of a caretaker, and what it makes of the answers: ssh is a program in the PATH, as always."""

import json
import stat
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provision.errors import CommandError, InvalidInputError, NotFoundError
from provision.guests.access import Access
from provision.guests.caretaker import (
    Activity,
    Claim,
    Door,
    TakenError,
    UnreachableError,
    activity,
    ask,
    claim,
    diagnose,
    door_to,
    set_password,
)

SSH = """#!{python}
import json, sys
said = json.load(open({said!r}))
json.dump({{"words": sys.argv[1:], "body": sys.stdin.read()}}, open({heard!r}, "w"))
sys.stdout.write(said["out"]), sys.stderr.write(said["err"])
sys.exit(said["code"])
"""
ACTIVE = {"kernels_busy": 1, "kernels": 2, "terminals": 0, "connections": 3, "load": 0.5, "computing": True}
FACTS = {
    "student": "s1", "services": {"jupyter.service": "active (running)"}, "failed": {}, "oom": ["python3"],
    "full": {"/": 99}, "not_executable": [], "password_file": "0640 root:student", "cookie_file": "absent",
    "listening": ["*:22"], "cloud_init": [], "memory_mb": 1000, "uptime": 1.5,
}  # fmt: skip


class Machine:
    """A machine by what its ssh says, and what it heard."""

    def __init__(self, folder: Path) -> None:
        self.said, self.heard = folder / "said", folder / "heard"
        self.door = Door("192.0.2.7", 30007, folder / "caretaker", "stack-1", folder / "known_hosts")
        ssh = folder / "bin/ssh"
        ssh.parent.mkdir()
        ssh.write_text(SSH.format(python=sys.executable, said=str(self.said), heard=str(self.heard)))
        ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)

    def says(self, out: str = "", err: str = "", code: int = 0) -> None:
        self.said.write_text(json.dumps({"out": out, "err": err, "code": code}))

    def words(self) -> list[str]:
        return list(json.loads(self.heard.read_text())["words"])

    def body(self) -> str:
        return str(json.loads(self.heard.read_text())["body"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Machine(tmp_path)


def test_a_claim_says_all_of_it_on_stdin_and_nothing_in_the_command_line(machine: Machine) -> None:
    machine.says('{"student": "s1", "changed": true}')
    sent = Claim("s1", "argon2:$argon2id$secret", ("ssh-ed25519 AAAA",), "demo-s1")
    claim(machine.door, sent)
    assert json.loads(machine.body()) == {**asdict(sent), "ssh_keys": ["ssh-ed25519 AAAA"]}
    words = machine.words()
    assert words[-2:] == ["caretaker@192.0.2.7", "claim"]
    assert not [word for word in words if "argon2" in word or "AAAA" in word]
    for word in ("BatchMode=yes", "HostKeyAlias=stack-1", "Port=30007", "IdentitiesOnly=yes"):
        assert word in words
    assert "argon2" not in repr(sent)


def test_answers_are_read_as_what_they_are(machine: Machine) -> None:
    machine.says(json.dumps({**ACTIVE, "last_activity": "2026-11-22T10:00:00.123456Z"}))
    at = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)
    assert activity(machine.door) == Activity(1, 2, 0, 3, at, 0.5, True)
    machine.says(json.dumps({**ACTIVE, "last_activity": None}))
    assert activity(machine.door).last_activity is None
    machine.says(json.dumps(FACTS))
    facts = diagnose(machine.door)
    assert (facts.full, facts.oom, facts.services["jupyter.service"]) == ({"/": 99}, ("python3",), "active (running)")
    machine.says("{}")
    with pytest.raises(CommandError, match="answered what is no Activity"):
        activity(machine.door)


def test_the_way_in_is_the_students_with_another_account(machine: Machine, tmp_path: Path) -> None:
    access = Access("192.0.2.7", "student", "secret", None, "stack-1", tmp_path / "known_hosts", ssh_port=30007)
    assert door_to(access, tmp_path / "caretaker") == machine.door
    machine.says("tar")
    assert ask(access, tmp_path / "caretaker", "backup", None, 10) == b"tar"
    assert machine.body() == ""


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (2, "hostname is no name of a host", InvalidInputError, "hostname is no name"),
        (4, "it is s2's machine, and stays so", TakenError, "s2's machine"),
        (5, "it is nobody's machine yet", NotFoundError, "nobody's"),
        (1, "[Errno 28] No space left on device", CommandError, "No space left"),
        (1, "", CommandError, "exit code 1, and no word why"),
        (64, "this caretaker knows activity", CommandError, "cannot do password"),
        (255, "ssh: connect to host 192.0.2.7 port 30007: Connection timed out", UnreachableError, "timed out"),
        (255, "caretaker@192.0.2.7: Permission denied (publickey).", UnreachableError, "caretaker does not open"),
        (255, "Host key verification failed.", UnreachableError, "known_hosts remembers"),
        (255, "", UnreachableError, "the connection ended"),
    ],
)
def test_every_refusal_is_an_error_of_its_kind(
    code: int, said: str, kind: type[Exception], words: str, machine: Machine
) -> None:
    machine.says(err=f"{said}\n", code=code)
    with pytest.raises(kind, match=words) as raised:
        set_password(machine.door, "argon2:$argon2id$secret")
    assert type(raised.value) is kind
    assert "argon2" not in str(raised.value)


def test_a_closed_network_is_told_with_the_key_that_opens_it(machine: Machine) -> None:
    machine.says(err="Connection timed out", code=255)
    with pytest.raises(UnreachableError) as raised:
        activity(machine.door)
    assert "`ssh` under [access] in cohort.toml" in (raised.value.hint or "")
