"""`provision cohort report` and `repair --dry-run` as a person sees them."""

import json
from pathlib import Path

import pytest
import requests_mock as rm
from click.testing import CliRunner

from provision.cli.cohort import cohort

from .test_repair import Cloud

FILE = """
[cohort]
course = "demo"
presentation = "26J"
start = 2026-10-03
end = 2026-10-04
[cloud]
name = "campus"
[access]
ssh = "0.0.0.0/0"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cohort.toml").write_text(FILE)
    (tmp_path / "roster.csv").write_text("id,name,email\nada,Ada,a@x.org\nbob,Bob,b@x.org\n")
    return tmp_path


def test_what_was_used_and_what_is_needed(http: rm.Mocker, folder: Path) -> None:
    Cloud(http, folder / "handouts", "ada", "bob")
    done = CliRunner().invoke(cohort, ["report", str(folder), "--format", "json", "--next", "10"])
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert [each["student"] for each in said["machines"]] == ["ada", "bob"]
    assert all(each["vcpu_hours"] == pytest.approx(2 * each["hours"], abs=0.2) for each in said["machines"])
    assert {each["flavor"] for each in said["machines"]} == {"m1.small"}
    assert said["all"]["floating_ips"] == 2
    assert (said["next"]["vCPUs"], said["next"]["machine hours"]) == (20, 480)
    table = CliRunner().invoke(cohort, ["report", str(folder)]).stdout
    assert "The next class needs:" in table
    assert "2 machines" in table
    rows = CliRunner().invoke(cohort, ["report", str(folder), "--format", "csv"]).stdout.splitlines()
    assert [row.partition(",")[0] for row in rows] == ["student", "ada", "bob"]


def test_a_dry_run_repairs_nothing(http: rm.Mocker, folder: Path) -> None:
    there = Cloud(http, folder / "handouts", "ada", "bob")
    there.nova.servers["s-ada"]["status"] = "SHUTOFF"
    del there.nova.servers["s-bob"]
    done = CliRunner().invoke(cohort, ["repair", str(folder), "--dry-run", "--format", "csv"])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "student,repair,why",
        "ada,start,its server is SHUTOFF",
        'bob,"replace, if nothing is left of it",its server is gone',
    ]
    assert (there.heat.asked(), there.nova.asked, there.patched, there.rules()) == ([], [], [], [])
