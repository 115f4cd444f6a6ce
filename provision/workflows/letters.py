"""The letters: what each student is given to read, 0600 beside the handouts, and filled anew whenever a URL changes."""

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core.letters import Letter, Reader, check_letter, render
from provision.paths import data_path, write_private
from provision.workflows.courses import read_text
from provision.workflows.handouts import Handout, changing, handout_file, read_handouts

if TYPE_CHECKING:
    from provision.core.cohort import Cohort
    from provision.workflows.orders import Order

OURS = {"text": "letter.txt", "html": "letter.html"}  # the templates that come with the package
HTML = (".html", ".htm")
FORMS = (".html", ".txt")


def read_letter(said: "Cohort", folder: Path, template: Path | None = None) -> Letter:
    """The template that a cohort.toml in `folder` names, or `template`. Raises InvalidInputError if it is not sound."""
    named = said.handouts.template
    place = template or (data_path("letters") / OURS[named] if named in OURS else folder / named)
    name = Path(place.name.removesuffix(".j2"))
    letter = Letter(
        read_text(place),
        str(place),
        html=name.suffix.lower() in HTML,
        help=said.handouts.help,
        end=said.cohort.end,
        ssh=said.access.ssh is not None,
    )
    check_letter(letter)
    return letter


def write_letters(folder: Path, order: "Order", only: str | None = None) -> int:
    """A letter for each student whose URL was proved, or for `only` that one of them; how many they are."""
    if order.letter is None or not handout_file(folder).is_file():
        return 0
    with changing(folder):
        place = letters_folder(folder)
        form = FORMS[not order.letter.html]
        letters = {
            f"{each.id}{form}": render(order.letter, _reader(order, each))
            for each in read_handouts(folder).values()
            if each.url and only in (None, each.id)
        }
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in letters.items():
            if not _holds(place / name, text):
                write_private(place / name, text)
        if only is None:
            _remove_others(place, letters)
        return len(letters)


def _remove_others(place: Path, letters: Container[str]) -> None:
    """Remove the letters with an address that is no more."""
    for old in place.iterdir():
        if old.suffix in FORMS and old.name not in letters:
            old.unlink()


def letters_folder(folder: Path) -> Path:
    """Where they are."""
    return folder / "letters"


def _reader(order: "Order", handout: Handout) -> Reader:
    return Reader(
        handout.id,
        handout.name,
        handout.url,
        handout.user,
        handout.password,
        handout.ssh_key_file,
        order.course.title,
        order.presentation,
    )


def _holds(place: Path, text: str) -> bool:
    return place.is_file() and place.read_text(encoding="utf-8") == text
