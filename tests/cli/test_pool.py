"""`provision pool` by its outside: what it is called with, and what it says without a cloud."""

from pathlib import Path

import pytest

from tests.cli.test_bad_input import provision

COHORT = '[cohort]\ncourse = "demo"\npresentation = "26J"\n[pool]\n{pool}\n'


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ('timetable = ["monday 09:00-11:00 40"]', "line 5: pool.timetable[1]: 'monday 09:00-11:00 40' is not days"),
        ('timetable = ["mon 11:00-09:00 40"]', "ends before it begins"),
    ],
)
def test_a_timetable_that_means_nothing_is_told_with_its_place(tmp_path: Path, pool: str, words: str) -> None:
    (tmp_path / "cohort.toml").write_text(COHORT.format(pool=pool))
    (tmp_path / "roster.csv").write_text("id,name,email\ns1,Ada,ada@x.org\n")
    done = provision(tmp_path, "pool", "status", "cohort.toml")
    assert done.returncode == 2
    assert words in done.stderr


def test_a_pool_of_no_cohort(tmp_path: Path) -> None:
    assert provision(tmp_path, "pool", "drain", "nowhere").returncode == 5
