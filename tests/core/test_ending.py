"""A cohort's last day: moved by one line, whatever else the person wrote."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.cohort_file import move_end, parse_cohort
from provision.errors import InvalidInputError

HEAD = '[cohort]\ncourse = "demo"\npresentation = "26J"  # autumn\n'
TAIL = "\n# SSH for the faculty\n[access]\nweb = '0.0.0.0/0'\n"
END = date(2027, 7, 31)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HEAD + "end = 2027-06-30  # resits\n" + TAIL, HEAD + "end = 2027-07-31  # resits\n" + TAIL),
        (HEAD + "end=2027-06-30", HEAD + "end=2027-07-31"),
        (HEAD + '"end" = 2027-06-30\n', HEAD + '"end" = 2027-07-31\n'),
        (HEAD + "# end = 2027-06-30\n" + TAIL, HEAD + "end = 2027-07-31\n# end = 2027-06-30\n" + TAIL),
        (HEAD.strip(), HEAD.strip() + "\nend = 2027-07-31"),
        ("\ufeff" + HEAD.replace("\n", "\r\n"), "\ufeff" + HEAD.replace("\n", "\r\n") + "end = 2027-07-31\r\n"),
        (
            'cohort = { course = "demo", end = 2027-06-30, presentation = "26J" }\n',
            'cohort = { course = "demo", end = 2027-07-31, presentation = "26J" }\n',
        ),
        (HEAD + "end = 2027-07-31\n", HEAD + "end = 2027-07-31\n"),
    ],
)
def test_one_line_changes(before: str, after: str) -> None:
    assert move_end(before, END) == after
    assert parse_cohort(after, "cohort.toml").cohort.end == END


@pytest.mark.parametrize(
    "text",
    ['cohort = { course = "demo", presentation = "26J" }\n', 'cohort.course = "demo"\ncohort.presentation = "26J"\n'],
)
def test_what_would_change_more_is_left_to_the_person(text: str) -> None:
    with pytest.raises(InvalidInputError, match="anew") as caught:
        move_end(text, END)
    assert "end = 2027-07-31" in (caught.value.hint or "")


@given(st.dates(date(1, 1, 1), date(9999, 12, 30)), st.booleans(), st.text("ab =\"'#[]2027-06"))
def test_only_the_day_moves(end: date, there: bool, words: str) -> None:
    text = f"# {words}\n{HEAD}" + (f"end = {end}\n" if there else "") + f"# end = {words}\n{TAIL}"
    moved = move_end(text, end + timedelta(days=1))
    assert parse_cohort(moved, "").cohort.end == end + timedelta(days=1)
    assert set(text.split("\n")) - set(moved.split("\n")) == ({f"end = {end}"} if there else set())
