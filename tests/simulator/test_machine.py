"""One student's machine on the simulated cloud: its verbs touch nobody else's, and say what they did."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provision.cli.app import cli
from provision.cli.machine import ssh
from provision.cli.machine_words import remote_words
from provision.core.outcome import Failed, Ready
from provision.errors import CloudError, InvalidInputError, NotFoundError, PreflightError, ProvisionError
from provision.progress import Silent
from provision.workflows.diagnosing import examine
from provision.workflows.lifecycle import Wanted, alone, destroy, up
from provision.workflows.power import Asleep, resume, suspend
from provision.workflows.snapshots import delete, find_snapshot, list_snapshots, restore, save

from . import world
from .server import Simulator
from .staff import DEADLINE, Operator, machines, serving

ORDER = world.order(3)
ADA, BOB = "s0000", "s0001"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud that is asked every moment."""
    monkeypatch.setattr("provision.workflows.servers.POLL", 0.02)
    monkeypatch.setattr("provision.workflows.snapshots.POLL", 0.02)
    monkeypatch.setattr("provision.guests.probes.PAUSE", 2 * DEADLINE)  # a proof that fails is not tried again


def wanted(operator: Operator) -> Wanted:
    stages = (serving(operator.url, operator.clock, DEADLINE),)
    return Wanted(operator.folder, DEADLINE, stages=stages, clock=operator.clock)


def states(simulator: Simulator) -> dict[str, str]:
    """Nova's word for each machine, by its stack's name."""
    servers = simulator.cloud.things["servers"]
    return {name.rpartition("-")[2]: servers[id_]["status"] for name, id_ in machines(simulator).items()}


def test_up_makes_one_machine_and_once(simulator: Simulator, operator: Operator) -> None:
    cloud = operator.connect()
    for _ in range(2):
        outcome = up(cloud, ORDER, BOB, wanted(operator), Silent())
        assert isinstance(outcome, Ready)
        assert states(simulator) == {BOB: "ACTIVE"}
    assert simulator.count("^POST /heat/.*/stacks") == 1
    with pytest.raises(NotFoundError, match="not in the roster"):
        alone(ORDER, "nobody")


def test_one_sleeps_and_wakes_and_the_others_do_not(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    cloud, silent = operator.connect(), Silent()
    for shelve, state in ((False, "SUSPENDED"), (True, "SHELVED_OFFLOADED")):
        ended = suspend(cloud, ORDER, shelve=shelve, deadline=DEADLINE, progress=silent, student=ADA)
        assert ended == (Asleep(ADA, state),)
        assert states(simulator) == {ADA: state, BOB: "ACTIVE"}
    # Nothing listens at the simulator's addresses: who gets as far as the network was woken, and is proved.
    woken = resume(cloud, ORDER, folder=operator.folder, deadline=DEADLINE, progress=silent, student=ADA)
    assert [(each.student, each.stage) for each in woken if isinstance(each, Failed)] == [(ADA, "network")]
    assert states(simulator) == {ADA: "ACTIVE", BOB: "ACTIVE"}
    suspend(cloud, ORDER, shelve=False, deadline=DEADLINE, progress=silent, student=BOB)
    up(cloud, ORDER, BOB, wanted(operator), silent)
    assert states(simulator) == {ADA: "ACTIVE", BOB: "ACTIVE"}
    with pytest.raises(NotFoundError, match="has no machine"):
        suspend(cloud, ORDER, shelve=False, deadline=DEADLINE, progress=silent, student="s0002")


def test_one_is_destroyed_and_made_anew_with_the_same_password(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    before = machines(simulator)
    handout = (operator.folder / "handout.csv").read_text()
    assert destroy(operator.connect(), ORDER, ADA, deadline=DEADLINE, progress=Silent(), clock=operator.clock) == 1
    assert states(simulator) == {BOB: "ACTIVE"}
    assert destroy(operator.connect(), ORDER, ADA, deadline=DEADLINE, progress=Silent(), clock=operator.clock) == 0
    assert isinstance(up(operator.connect(), ORDER, ADA, wanted(operator), Silent()), Ready)
    after = machines(simulator)
    assert after["demo-26J-s0001"] == before["demo-26J-s0001"]
    assert after["demo-26J-s0000"] != before["demo-26J-s0000"]
    passwords = [[line.split(",")[4] for line in text.splitlines()] for text in (handout, _handout(operator))]
    assert passwords[0] == passwords[1]


def _handout(operator: Operator) -> str:
    return (operator.folder / "handout.csv").read_text()


def test_a_snapshot_is_kept_and_written_back(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    cloud, silent = operator.connect(), Silent()
    made = save(cloud, ORDER, ADA, "before", deadline=DEADLINE, progress=silent)
    assert (made.status, made.size) == ("active", 3 * 2**20)
    with pytest.raises(InvalidInputError, match="already"):
        save(cloud, ORDER, ADA, "before", deadline=DEADLINE, progress=silent)
    save(cloud, ORDER, BOB, "other", deadline=DEADLINE, progress=silent)
    assert [each.name for each in list_snapshots(cloud, ORDER, ADA)] == ["before"]
    assert find_snapshot(cloud, ORDER, ADA, None) == made
    with pytest.raises(NotFoundError, match=r"There are: before \(active\)"):
        find_snapshot(cloud, ORDER, ADA, "other")
    # A build of the course is still found, and only that.
    assert isinstance(up(cloud, ORDER, "s0002", wanted(operator), silent), Ready)
    images = {name: server["image"]["id"] for name, server in _servers(simulator).items()}
    assert images == dict.fromkeys(images, world.IMAGE_ID)
    suspend(cloud, ORDER, shelve=False, deadline=DEADLINE, progress=silent, student=ADA)
    restore(cloud, ORDER, ADA, made, deadline=DEADLINE, progress=silent)
    now = {name: server["image"]["id"] for name, server in _servers(simulator).items()}
    assert now == {**images, "demo-26J-s0000": made.id}
    assert states(simulator)[ADA] == "ACTIVE"
    delete(cloud, made)
    assert list_snapshots(cloud, ORDER, ADA) == ()
    with pytest.raises(CloudError, match="not done after 0 s"):
        save(cloud, ORDER, ADA, "slow", deadline=0.001, progress=silent)
    with pytest.raises(InvalidInputError, match="names no snapshot"):
        save(cloud, ORDER, ADA, "a/b", deadline=DEADLINE, progress=silent)
    assert world.IMAGE_ID in simulator.cloud.images


def _servers(simulator: Simulator) -> dict[str, dict[str, Any]]:
    return {server["name"]: server for server in simulator.cloud.things["servers"].values()}


def _first_cause(operator: Operator, student: str) -> str:
    found, _ = examine(operator.connect(), ORDER, student, operator.folder, Silent())
    assert not found.well
    return found.causes[0].kind


def test_the_first_cause_is_found_on_the_cloud(simulator: Simulator, operator: Operator) -> None:
    operator.launch(2)
    cloud = simulator.cloud
    assert _first_cause(operator, "s0002") == "no machine"
    # Nothing listens at the simulator's addresses, and its console is empty.
    assert _first_cause(operator, ADA) == "unknown"
    cloud.thing_of("demo-26J-s0000", "servers")["console"] = "Out of memory: Killed process 8 (python3)\n"
    assert _first_cause(operator, ADA) == "out of memory"
    suspend(operator.connect(), ORDER, shelve=False, deadline=DEADLINE, progress=Silent(), student=ADA)
    assert _first_cause(operator, ADA) == "asleep"
    cloud.delete_server("demo-26J-s0001")
    assert _first_cause(operator, BOB) == "server gone"


# The command line.


@pytest.fixture
def cohort(tmp_path: Path, simulator: Simulator, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cohort of two with machines, as a person has it."""
    place = tmp_path / "demo-26J"
    place.mkdir()
    says = '[cohort]\ncourse = "demo"\npresentation = "26J"\nend = 9998-06-30\n[cloud]\nname = "campus"\n'
    (place / "cohort.toml").write_text(says + '[access]\nssh = "0.0.0.0/0"\n')
    (place / "roster.csv").write_text("id,name,email\ns0000,A,a@x.org\ns0001,B,b@x.org\n")
    operator.launch(2)
    (place / "handouts").mkdir()
    operator.folder.rename(place / "handouts" / "demo-26J")
    monkeypatch.chdir(place)
    return place


def say(*words: str, typed: str = "") -> Result:
    """What the command says; its exit code as main() would have it."""
    result = CliRunner().invoke(cli, words, input=typed)
    if isinstance(result.exception, ProvisionError):
        result.exit_code = result.exception.exit_code
    return result


def test_ssh_is_what_it_was_and_needs_fewer_words(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    (tmp_path / "ssh").chmod(0o755)
    (cohort / "roster.csv").write_text("id,name,email\ns0001,B,b@x.org\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("provision"), "ssh", "--jump", "b.example", "--", "uptime", "-p"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (7, "demo-26J s0001\n")
    shown = done.stdout.splitlines()
    assert shown[-2:] == ["uptime", "-p"]
    assert shown[-3].startswith("student@127.")
    assert "ProxyJump=b.example" in shown
    config = say("ssh-config", "demo", BOB)
    assert config.exit_code == 5
    config = say("ssh-config", ".", BOB)
    assert config.stdout.startswith("Host demo-26J-s0001\n  HostName 127.")


def test_commands_for_a_machine_stand_behind_its_names() -> None:
    for words, whose, remote in (
        ((), (), ()),
        (("c", "s"), ("c", "s"), ()),
        (("c", "s", "uptime"), ("c", "s"), ("uptime",)),
        (("--", "ls", "-l"), (), ("ls", "-l")),
        (("s", "--", "ls", "--", "-l"), ("s",), ("ls", "--", "-l")),
        (("c", "s", "sudo", "--", "ls"), ("c", "s"), ("sudo", "ls")),
    ):
        with ssh.make_context("ssh", list(words)) as context:
            assert remote_words(context.params["words"]) == (whose, remote)


def test_destroy_asks_and_keeps_the_last_day(simulator: Simulator, cohort: Path) -> None:
    early = say("destroy", ADA, "--yes")
    assert early.exit_code == PreflightError.exit_code
    assert "needed until 9998-06-30" in str(early.exception)
    unsure = say("destroy", ADA, "--before-end", typed="yes\n")
    assert unsure.exit_code == 2
    assert "demo-26J-s0000  CREATE_COMPLETE" in unsure.stderr
    assert "'yes' is not s0000: nothing was deleted" in str(unsure.exception)
    assert states(simulator) == {ADA: "ACTIVE", BOB: "ACTIVE"}
    assert say("destroy", "s0009", "--before-end").exit_code == 5


def test_the_other_verbs_say_what_they_did(simulator: Simulator, cohort: Path) -> None:
    halted = say("halt", ADA, "--format", "json")
    assert json.loads(halted.stdout) == [{"student": ADA, "state": "SUSPENDED"}]
    shown = say("status", ADA, "--format", "json")
    (row,) = json.loads(shown.stdout)
    assert (row["student"], row["state"]) == (ADA, "SUSPENDED")
    why = say("diagnose", ADA, "--progress", "none")
    assert why.exit_code == 4
    assert why.stdout.startswith("First cause: It sleeps (SUSPENDED).\n  Run: provision resume")
    assert say("snapshot", "save", BOB, "--name", "n1").stdout == "n1 is kept (3 MiB).\n"
    (kept,) = json.loads(say("snapshot", "list", BOB, "--format", "json").stdout)
    assert (kept["name"], kept["size"], kept["status"]) == ("n1", 3 * 2**20, "active")
    unsure = say("snapshot", "restore", BOB, typed="\n\n")
    assert "All that s0001 did since" in unsure.stderr
    assert "rebuild" not in str([call.what for call in simulator.calls])
    assert say("snapshot", "delete", BOB, "--name", "n1", "--yes").exit_code == 0
    assert say("up", ".", BOB, "more").exit_code == 2
