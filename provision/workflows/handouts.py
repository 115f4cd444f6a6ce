"""The handout folder: the one place where first passwords and private keys are, 0600 in a folder of 0700.

A password is written here before the stack that bears its hash is asked for, so that a run killed anywhere loses none.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from provision.core.plan import Stack
from provision.core.roster import Student
from provision.errors import InvalidInputError
from provision.guests.access import Access
from provision.guests.credentials import new_key_pair, new_password
from provision.locks import exclusive
from provision.paths import write_private
from provision.progress import Silent


@dataclass(frozen=True)
class Handout:
    """What a student is given. `ssh_key_file` is relative to the folder; `url` is empty until it is proved.

    `scheme` is how the machine is addressed, "http" or "https": known before there is a URL, and without the course.
    """

    id: str
    name: str
    url: str
    user: str
    password: str = field(repr=False)
    ssh_key_file: str
    scheme: str


COLUMNS = tuple(column.name for column in fields(Handout))


def handout_file(folder: Path) -> Path:
    """The CSV of all students' handouts."""
    return folder / "handout.csv"


def read_handouts(folder: Path) -> dict[str, Handout]:
    """The handouts by student; empty where there is no folder."""
    place = handout_file(folder)
    if not place.is_file():
        return {}
    with place.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InvalidInputError(
                f"{place} is not a handout file that this version wrote: its columns are not {','.join(COLUMNS)}.",
                hint="Put it back as it was, or name another folder with --handout.",
            )
        return {row["id"]: Handout(**row) for row in reader}


def write_handouts(folder: Path, handouts: Mapping[str, Handout]) -> None:
    """Write all handouts, complete or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(handout) for handout in handouts.values())
    write_private(handout_file(folder), text.getvalue())


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """One writer at a time reads and writes all handouts: a launch, a claim and a new password may come together.

    Threads of one process exclude each other, too; whoever holds it must not ask for it again.
    """
    with exclusive(folder / ".handout.lock", Silent(), ""):
        yield


def ensure_handouts(folder: Path, students: Iterable[Student], user: str, scheme: str) -> dict[str, Handout]:
    """A password and a key pair for each of `students`, who get a machine now: those of before, if there are any.

    Returns the handouts of all.
    """
    prepare_folder(folder)
    with changing(folder):
        ensure_caretaker(folder)
        keys = folder / "keys"
        handouts = read_handouts(folder)
        for student in students:
            if not (keys / student.id).is_file() or not public_key_file(folder, student.id).is_file():
                pair = new_key_pair(student.id)
                write_private(public_key_file(folder, student.id), pair.public + "\n")
                write_private(keys / student.id, pair.private)
            before = handouts.get(student.id)
            password = before.password if before else new_password()
            handouts[student.id] = Handout(student.id, student.name, "", user, password, f"keys/{student.id}", scheme)
        write_handouts(folder, handouts)
    return handouts


def caretaker_key(folder: Path) -> Path:
    """The private key that opens the caretaker's way into every machine of the cohort; see guests/caretaker.py."""
    return folder / "caretaker"


def ensure_caretaker(folder: Path) -> str:
    """The public half of that key, without a comment. The pair is made once for a cohort, in a folder that is there."""
    private = caretaker_key(folder)
    public = private.with_suffix(".pub")
    if not private.is_file() or not public.is_file():
        pair = new_key_pair("provision caretaker")
        write_private(public, pair.public + "\n")
        write_private(private, pair.private)
    return " ".join(public.read_text().split()[:2])


def prepare_folder(folder: Path) -> None:
    """Make the folder, for its owner alone."""
    (folder / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    write_private(folder / ".gitignore", "*\n")  # a password that was committed once is never secret again


def save_urls(folder: Path, urls: Mapping[str, str]) -> None:
    """Write the proved URLs, by student, into the handouts."""
    if not urls:
        return
    with changing(folder):
        handouts = read_handouts(folder)
        changed = {student: replace(handouts[student], url=url) for student, url in urls.items() if student in handouts}
        if any(handouts[student] != handout for student, handout in changed.items()):
            write_handouts(folder, {**handouts, **changed})


def save_password(folder: Path, student: str, password: str) -> None:
    """Write a student's new password into the handout: the proofs sign in with it."""
    with changing(folder):
        handouts = read_handouts(folder)
        if student in handouts:
            write_handouts(folder, {**handouts, student: replace(handouts[student], password=password)})


def public_key_file(folder: Path, student: str) -> Path:
    """Where the public half of a student's key is."""
    return folder / "keys" / f"{student}.pub"


def access_to(handout: Handout, folder: Path, address: str, stack: Stack) -> Access:
    """The student's own way in, as the handout says it."""
    return Access(
        address=address,
        user=handout.user,
        password=handout.password,
        key=(folder / handout.ssh_key_file).absolute(),
        host_alias=stack.id,
        known_hosts=(folder / "known_hosts").absolute(),
        tls=handout.scheme == "https",
    )
