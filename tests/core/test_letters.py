"""Letters: what students are given to read says what it should, and a template that cannot say it is refused."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.letters import SAMPLE, VARIABLES, Letter, check_letter, render
from provision.errors import InvalidInputError
from provision.paths import data_path

TEXT, HTML = (
    Letter(
        data_path(f"letters/letter.{form}").read_text(),
        form,
        html=form == "html",
        help="mail <x@y.org>",
        end=date(2027, 6, 30),
        ssh=True,
    )
    for form in ("txt", "html")
)


def own(text: str, *, html: bool = False) -> Letter:
    return Letter(text, "my.txt", html, "ask")


@pytest.mark.parametrize("letter", [TEXT, HTML])
def test_ours_say_all_that_a_student_needs(letter: Letter) -> None:
    check_letter(letter)
    said = render(letter, SAMPLE)
    for words in ("Ada Lovelace", SAMPLE.url, SAMPLE.password, "ssh -i z1 student@192.0.2.7", "2027-06-30"):
        assert words in said
    assert ("mail <x@y.org>" in said) == (letter is TEXT)
    assert "certificate" not in said


@pytest.mark.parametrize("letter", [TEXT, HTML])
@pytest.mark.parametrize(
    ("url", "ssh", "words", "not_words"),
    [
        ("https://192.0.2.7/", True, "certificate", " -p "),
        ("http://192.0.2.7:20011/", True, "ssh -i z1 -p 30011 student@192.0.2.7", "certificate"),
        ("http://192.0.2.7:20011/", False, "http://192.0.2.7:20011/", "ssh"),
    ],
)
def test_ours_fit_every_machine(letter: Letter, url: str, ssh: bool, words: str, not_words: str) -> None:
    said = render(replace(letter, ssh=ssh, end=None), replace(SAMPLE, url=url))
    assert words in said
    assert not_words not in said
    assert "goes after" not in said


def test_all_that_the_documentation_names_can_be_named() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "cohort.md").read_text()
    for name in VARIABLES:
        assert f"`{name}`" in page
    said = render(own("\n".join(f"{{{{ {name} }}}}" for name in VARIABLES)), SAMPLE).split("\n")
    assert said[:4] == ["z1", "Ada Lovelace", "http://192.0.2.7/", "a-b-c"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("Hi\n{{ nmae }}\n{% if pasword %}{{ nmae }}{% endif %}",
         ("line 2: there is no 'nmae'", "line 3: there is no 'pasword'", "line 3: there is no 'nmae'")),
        ("a\nb {{ name", ("line 2: unexpected end of template",)),
        ("{% if name %}\n", ("line 1: Unexpected end of template",)),
        ("a\n{{ name|shout }}", ("line 2: No filter named 'shout'",)),
        ("a\n\n{{ name.first }}", ("line 3: 'str object' has no attribute 'first'",)),
        ("{{ end.isoformat() }}", ("line 1: 'None' has no attribute 'isoformat'",)),
        ("a\n{{ 1 / 0 }}", ("line 2: division by zero",)),
        ("{% include 'x' %}", ("line 1: no loader",)),
        ("{{ ''.__class__.__mro__ }}", ("line 1: access to attribute '__class__'",)),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_is_said_with_its_line(text: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"my.txt is not a template that can be filled") as caught:
        check_letter(own(text))
    assert len(caught.value.problems) == len(problems)
    for said, wanted in zip(caught.value.problems, problems, strict=True):
        assert wanted in said


def test_a_template_may_have_names_of_its_own() -> None:
    letter = own("{% for word in name.split() %}{% set first = word[0] %}{{ first }}{% endfor %}{{ range(2)|list }}\n")
    check_letter(letter)
    assert render(letter, SAMPLE) == "AL[0, 1]\n"


@given(st.text(), st.text())
def test_nothing_that_is_filled_in_becomes_markup_or_template(name: str, help_: str) -> None:
    letter = replace(own("<p title='{{ name }}'>{{ name }}</p>{{ help }}", html=True), help=help_)
    said = render(letter, replace(SAMPLE, name=name)).removeprefix("<p title='").replace("'>", "", 1)
    assert not {"<", "'", '"'} & {*said.replace("</p>", "", 1)}
    assert render(own("{{ name }}"), replace(SAMPLE, name=name)) == name
