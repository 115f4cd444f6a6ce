"""A project for each student, as a person types it, on a simulated cloud where no machine ever answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from provision.cli.app import cli
from provision.clock import REAL
from tests.simulator import world
from tests.simulator.conftest import in_clouds_yaml
from tests.simulator.faults import Build, Latency, Setup
from tests.simulator.server import Simulator, simulator_on_a_socket

COHORT = """\
[cohort]
course = "demo"
presentation = "26J"
[cloud]
name = "campus"
tenancy = "project per student"
[projects]
users = "create"
"""


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    setup = Setup(latency=Latency(0, 0), build=Build(0, 0, 0), admin=True)
    with simulator_on_a_socket(setup, REAL) as running:
        world.add_image(running.cloud)
        in_clouds_yaml(running, tmp_path, monkeypatch)
        (tmp_path / "cohort.toml").write_text(COHORT)
        (tmp_path / "roster.csv").write_text("id,name,email\nada,Ada,ada@x.org\nbob,Bob,bob@x.org\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("provision.cloud.apart.SETTLE", 0.05)
        monkeypatch.setattr("provision.workflows.servers.POLL", 0.05)
        yield running


def cohort(*words: str, code: int = 0) -> Result:
    return provision("cohort", words[0], ".", *words[1:], code=code)


def provision(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, words)
    ended = getattr(done.exception, "exit_code", done.exit_code)
    assert ended == code, (done.output, done.exception)
    return done


def test_every_verb_looks_into_every_project(simulator: Simulator) -> None:
    assert "has no projects" in str(cohort("status", code=5).exception)
    rows = json.loads(cohort("preflight", "--no-canary", "--format", "json").stdout)
    assert [each["meaning"] for each in rows if each["name"] == "project"] == [
        "a launch makes its project and its user."
    ] * 2
    assert [each["action"] for each in json.loads(cohort("plan", "--format", "json").stdout)] == ["create", "create"]
    launched = cohort("launch", "--deadline", "1", "--format", "json", code=4)
    assert {each["stage"] for each in json.loads(launched.stdout)} == {"network"}
    assert {each["name"] for each in simulator.cloud.projects.values()} == {"demo-26J-ada", "demo-26J-bob"}
    assert [each["action"] for each in json.loads(cohort("plan", "--format", "json").stdout)] == ["keep", "keep"]
    assert "nothing to repair" in cohort("repair", "--dry-run").output
    assert len(json.loads(cohort("report", "--format", "json").stdout)["machines"]) == 2
    slept = json.loads(cohort("suspend", "--format", "json").stdout)
    assert [(each["student"], each["state"]) for each in slept] == [("ada", "SUSPENDED"), ("bob", "SUSPENDED")]
    assert "Nothing bears the tag" in cohort("gc").output
    assert "cannot be rebuilt yet" in str(cohort("rebuild", "--dry-run", code=2).exception)
    assert "demo-26J-ada  of ada" in cohort("delete", "--yes").output
    assert (simulator.cloud.stacks, simulator.cloud.projects, simulator.cloud.users) == ({}, {}, {})


def states(simulator: Simulator) -> dict[str, str]:
    """Nova's word for each machine, by its project's name."""
    cloud = simulator.cloud
    servers = cloud.things["servers"].values()
    return {cloud.projects[each["project_id"]]["name"].rpartition("-")[2]: each["status"] for each in servers}


def test_one_machines_verbs_lead_into_its_students_project(simulator: Simulator) -> None:
    assert "ada's" in str(provision("halt", ".", "ada", code=5).exception)
    for who in ("ada", "bob"):
        (made,) = json.loads(provision("up", ".", who, "--deadline", "1", "--format", "json", code=4).stdout)
        assert (made["student"], made["stage"]) == (who, "network")
    assert states(simulator) == {"ada": "ACTIVE", "bob": "ACTIVE"}
    (slept,) = json.loads(provision("halt", ".", "ada", "--format", "json").stdout)
    assert (slept["student"], slept["state"]) == ("ada", "SUSPENDED")
    assert states(simulator) == {"ada": "SUSPENDED", "bob": "ACTIVE"}
    (shown,) = json.loads(provision("status", ".", "ada", "--format", "json").stdout)
    assert (shown["student"], shown["state"]) == ("ada", "SUSPENDED")
    provision("up", ".", "ada", "--deadline", "1", code=4)
    assert states(simulator) == {"ada": "ACTIVE", "bob": "ACTIVE"}
    assert "Host demo-26J-bob" in provision("ssh-config", ".", "bob").stdout
    assert "is kept" in provision("snapshot", "save", ".", "bob", "--name", "before").stdout
    (kept,) = json.loads(provision("snapshot", "list", ".", "bob", "--format", "json").stdout)
    assert kept["name"] == "before"
    provision("destroy", ".", "ada", "--yes")
    assert states(simulator) == {"bob": "ACTIVE"}
    assert "no machines in this project" in str(provision("halt", ".", "ada", code=5).exception)


@pytest.mark.parametrize(
    "words", [("pool", "status", "."), ("pool", "start", "."), ("portal", "serve", "."), ("cohort", "rebuild", ".")]
)
def test_what_works_in_one_project_alone_says_so(simulator: Simulator, words: tuple[str, ...]) -> None:
    simulator.calls.clear()
    said = str(provision(*words, code=2).exception)
    assert "one project" in said or "cannot be rebuilt yet" in said
    assert simulator.count("^(POST|PUT|PATCH|DELETE) /(heat|nova|neutron)") == 0


def test_files_of_those_who_are_named_are_fetched_from_their_projects(simulator: Simulator) -> None:
    cohort("launch", "--deadline", "1", code=4)
    assert "eve" in str(provision("backup", ".", "eve", code=5).exception)
    rows = json.loads(provision("backup", ".", "ada", "--format", "json", code=4).stdout)
    assert [(each["student"], each["state"]) for each in rows] == [("ada", "failed")]
