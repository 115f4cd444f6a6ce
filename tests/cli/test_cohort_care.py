"""The verbs of a class between its launch and its end, as a person types them."""

from datetime import date
from pathlib import Path

import pytest

from provision.errors import PreflightError
from provision.workflows.ending import check_ended
from provision.workflows.orders import read_cohort
from tests.cli.test_bad_input import provision

COHORT = '[cohort]\ncourse = "demo"\npresentation = "26J"\nstart = 2026-10-03  # a Saturday\nend = 9998-06-30\n'
CLOUDS = "clouds: {down: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: u, password: p, project_name: p}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cohort.toml").write_text(COHORT)
    (tmp_path / "clouds.yaml").write_text(CLOUDS)
    return tmp_path


def test_a_class_is_not_deleted_before_its_end(folder: Path) -> None:
    refused = provision(folder, "cohort", "delete", ".", "--yes", "--os-cloud", "down")
    assert refused.returncode == 3
    for words in ("demo-26J is needed until 9998-06-30", "cohort.toml", "Nothing was deleted", "--before-end"):
        assert words in refused.stderr
    # What goes on asks the cloud, which does not answer.
    assert provision(folder, "cohort", "delete", ".", "--yes", "--before-end", "--os-cloud", "down").returncode == 1
    assert provision(folder, "cohort", "extend", ".", "2026-10-03").returncode == 0
    assert provision(folder, "cohort", "delete", ".", "--yes", "--os-cloud", "down").returncode == 1


def test_the_last_day_is_still_needed(folder: Path) -> None:
    file = read_cohort(str(folder))
    with pytest.raises(PreflightError):
        check_ended(file, date(9998, 6, 30))
    check_ended(file, date(9998, 7, 1))


def test_the_end_is_moved_in_the_file_alone(folder: Path) -> None:
    moved = provision(folder, "cohort", "extend", ".", "9999-01-31")
    assert (moved.returncode, moved.stderr) == (0, "")
    assert moved.stdout == "demo-26J is needed until 9999-01-31, not 9998-06-30.\n"
    assert (folder / "cohort.toml").read_text() == COHORT.replace("9998-06-30", "9999-01-31")
    early = provision(folder, "cohort", "extend", ".", "2026-10-02")
    assert early.returncode == 2
    assert "2026-10-02 is before the start, 2026-10-03" in early.stderr
    assert provision(folder, "cohort", "extend", ".", "soon").returncode == 2
    assert (folder / "cohort.toml").read_text() == COHORT.replace("9998-06-30", "9999-01-31")
    assert sorted(path.name for path in folder.iterdir()) == ["clouds.yaml", "cohort.toml"]
