"""Which machine is meant when words are left out, and when that is not clear."""

from pathlib import Path

import pytest

from provision.errors import InvalidInputError, NotFoundError, ProvisionError
from provision.workflows.chosen import choose

COHORT = '[cohort]\ncourse = "demo"\npresentation = "{}"\n'
ONE, TWO = "id,name,email\nada,A,a@x.org\n", "id,name,email\nada,A,a@x.org\nbob,B,b@x.org\n"
HANDOUT = "id,name,url,user,password,ssh_key_file,scheme\neve,E,,student,x,keys/eve,http\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cohort of one student, one of two, one of a student who has only the handout; and we are in the second."""
    for name, roster in (("one", ONE), ("two", TWO), ("mine", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cohort.toml").write_text(COHORT.format(f"26{name[0].upper()}"))
        if roster:
            (tmp_path / name / "roster.csv").write_text(roster)
    handouts = tmp_path / "mine" / "handouts" / "demo-26M"
    handouts.mkdir(parents=True)
    (handouts / "handout.csv").write_text(HANDOUT)
    monkeypatch.chdir(tmp_path / "two")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "cohort", "student"),
    [
        (["../one", "anybody"], "demo-26O", "anybody"),
        (["../one"], "demo-26O", "ada"),
        (["../one/cohort.toml"], "demo-26O", "ada"),
        (["../mine"], "demo-26M", "eve"),
        (["bob"], "demo-26T", "bob"),
        ([".", "bob"], "demo-26T", "bob"),
    ],
)
def test_what_goes_without_saying(place: Path, words: list[str], cohort: str, student: str) -> None:
    chosen = choose(words)
    assert (chosen.file.cohort, chosen.student) == (cohort, student)


@pytest.mark.parametrize(
    ("here", "words", "kind", "says"),
    [
        ("two", [], InvalidInputError, r"demo-26T has 2 students \(ada, bob\): which of them"),
        ("two", ["."], InvalidInputError, "which of them"),
        ("", [], NotFoundError, "There is no cohort.toml in this folder"),
        ("", ["bob"], NotFoundError, "'bob' is no cohort, and there is no cohort.toml"),
        ("", ["nowhere", "bob"], NotFoundError, "There is no cohort 'nowhere'"),
    ],
)
def test_what_is_not_clear_is_asked(
    place: Path, monkeypatch: pytest.MonkeyPatch, here: str, words: list[str], kind: type[ProvisionError], says: str
) -> None:
    monkeypatch.chdir(place / here)
    with pytest.raises(kind, match=says) as raised:
        choose(words)
    assert raised.value.hint


def test_alone_in_a_folder_no_word_is_needed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "mine")
    assert choose([]).student == "eve"


def test_a_folder_that_has_a_students_name_is_not_guessed_at(place: Path) -> None:
    (place / "one").rename(place / "two" / "bob")
    with pytest.raises(InvalidInputError, match="both a cohort and a student") as raised:
        choose(["bob"])
    assert raised.value.hint == "Name both: bob STUDENT, or . bob"
    assert choose([".", "bob"]).file.cohort == "demo-26T"
