"""`provision cohort delete` against a cloud: the cohort's name is typed before anything is asked of it."""

from pathlib import Path

import pytest
import requests_mock as rm
from click.testing import CliRunner

from provision.cli.cohort import cohort
from provision.errors import InvalidInputError

from .test_launch import COMPLETE, Heat, nothing_left

COHORT = '[cohort]\ncourse = "demo"\npresentation = "26J"\n[cloud]\nname = "campus"\n'


@pytest.mark.parametrize("typed", ["yes", "demo", "", "demo-27J"])
def test_another_name_deletes_nothing(http: rm.Mocker, tmp_path: Path, typed: str) -> None:
    (tmp_path / "cohort.toml").write_text(COHORT)
    heat = Heat(http)
    heat.add("ada", COMPLETE)
    done = CliRunner().invoke(cohort, ["delete", str(tmp_path)], input=f"{typed}\n")
    assert "demo-26J-ada" in done.stderr
    assert "Type the cohort's name (demo-26J)" in done.stderr
    assert done.exit_code != 0
    assert not typed or isinstance(done.exception, InvalidInputError)
    assert heat.asked() == []


def test_the_cohorts_name_deletes_it(http: rm.Mocker, tmp_path: Path) -> None:
    (tmp_path / "cohort.toml").write_text(COHORT)
    heat = Heat(http)
    nothing_left(http)
    heat.add("ada", COMPLETE)
    done = CliRunner().invoke(cohort, ["delete", str(tmp_path)], input="demo-26J\n")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "1 deleted. Nothing of demo-26J is left on the cloud; its handouts are kept.\n"
    assert heat.asked() == ["DELETE demo-26j-ada"]
