"""`provision cohort handouts` as a person types it: a 0600 file for everybody who is ready, and nobody else."""

import stat
from pathlib import Path

import pytest

from provision.core.roster import Student
from provision.workflows.handouts import ensure_handouts, read_handouts, save_urls
from tests.cli.test_bad_input import provision


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cohort of two, of whom one is ready."""
    provision(tmp_path, "cohort", "init", "demo", "26J")
    made = tmp_path / "demo-26J"
    (made / "roster.csv").write_text("id,name,email\ns1,Ada <b>,ada@x.org\ns2,Bob,bob@x.org\n")
    students = [Student("s1", "Ada <b>", "ada@x.org"), Student("s2", "Bob", "bob@x.org")]
    ensure_handouts(made / "handouts" / "demo-26J", students, "student", "http")
    save_urls(made / "handouts" / "demo-26J", {"s1": "http://192.0.2.7/"})
    return made


def letters(folder: Path) -> dict[str, str]:
    place = folder / "handouts" / "demo-26J" / "letters"
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in place.iterdir())
    return {each.name: each.read_text() for each in place.iterdir()}


def test_letters_are_written_again_from_another_template(folder: Path) -> None:
    done = provision(folder, "cohort", "handouts", ".")
    assert (done.returncode, done.stdout) == (0, "1 in handouts/demo-26J/letters\n"), done.stderr
    password = read_handouts(folder / "handouts" / "demo-26J")["s1"].password
    assert password in letters(folder)["s1.txt"]
    assert password not in done.stdout + done.stderr
    (folder / "my.html.j2").write_text("{{ name }} {{ help }}")
    assert provision(folder, "cohort", "handouts", ".", "--template", "my.html.j2").returncode == 0
    assert letters(folder) == {"s1.html": "Ada &lt;b&gt; ask who gave you this letter."}
    save_urls(folder / "handouts" / "demo-26J", {"s1": ""})
    assert provision(folder, "cohort", "handouts", ".").stdout.startswith("0 in ")
    assert letters(folder) == {}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("handouts", "."), 2, "line 2: there is no 'nmae'"),
        (("handouts", ".", "--template", "none.txt"), 5, "none.txt cannot be read"),
        (("launch", "."), 2, "line 2: there is no 'nmae'"),
        (("check", "."), 2, "line 3: email 'nowhere'"),
    ],
)
def test_a_bad_template_is_said_before_anything_is_asked(
    folder: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (folder / "bad.txt").write_text("Hi\n{{ nmae }}")
    toml = folder / "cohort.toml"
    toml.write_text(toml.read_text().replace('template = "text"', 'template = "bad.txt"'))
    if words[0] == "check":
        (folder / "roster.csv").write_text("id,name,email\ns1,Ada,ada@x.org\ns2,Bob,nowhere\n")
        assert "line 2: there is no 'nmae'" in provision(folder, "cohort", *words).stderr
    done = provision(folder, "cohort", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
