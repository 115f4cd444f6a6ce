"""roster.csv: who gets a machine. Read as registries and Excel write it, with every bad row reported at once."""

import base64
import binascii
import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from provision.core.cohort import Columns
from provision.core.naming import STUDENT_ID
from provision.errors import InvalidInputError

REQUIRED = ("id", "name", "email")
JOIN = "+"  # between the columns that make one name

_KEY_TYPES = re.compile(
    r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class Student:
    """One row of the roster. `ssh_keys` are public keys, type and data only: comments can hold anything."""

    id: str
    name: str
    email: str
    ssh_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    line: int
    fields: dict[str, str]


def parse_roster(text: str, place: str, columns: Columns | None = None) -> tuple[Student, ...]:
    """The students that `text` lists; `place` names it in messages. Raises InvalidInputError with every problem.

    With `columns`, which say what the registry calls them, all other columns are ignored; without, they are mistakes.
    """
    problems: list[str] = []
    students: list[Student] = []
    seen: dict[str, int] = {}
    for row in _rows(text, columns, problems):
        student, wrong = _student(row)
        # Folded: file names, host names and some databases' stack names do not tell capitals apart.
        first = seen.setdefault(student.id.casefold(), row.line)
        if first != row.line and student.id:
            wrong.append(f"id {student.id!r} is already on line {first}")
        problems += [f"line {row.line}: {words}" for words in wrong]
        students.append(student)
    if not problems and not students:
        problems.append("it lists no student")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InvalidInputError(f"{place} has {count}.", problems=tuple(problems), hint=_hint(problems))
    return tuple(students)


def _hint(problems: list[str]) -> str | None:
    if any("column" in problem for problem in problems):
        return (
            "The first line must be id,name,email or id,name,email,ssh_keys; or say in cohort.toml, under [columns], "
            "what the registry calls them."
        )
    return None


def _rows(text: str, columns: Columns | None, problems: list[str]) -> Iterator[_Row]:
    """The records that are not blank, each with its first line's number. What stops the reading goes to `problems`."""
    lines, delimiter = _lines(text.removeprefix("\ufeff"))
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            fields = _trimmed(cells)
            if fields and header is None:
                header = fields
                wanted = _wanted(header, columns)
                if wrong := _header_problems(header, wanted, columns is None):
                    problems += [f"line {line}: {words}" for words in wrong]
                    return
                places = {key: _places(header, names) for key, names in wanted.items()}
            elif fields and header is not None and len(fields) > len(header):
                problems.append(f"line {line}: has {len(fields)} fields, but the header has {len(header)}")
            elif fields and header is not None:
                fields += [""] * (len(header) - len(fields))
                yield _Row(line, {key: _joined(fields, there) for key, there in places.items()})
            line = reader.line_num + 1
    except csv.Error as exc:
        problems.append(f"line {line}: is not CSV: {exc} (a quote that is not closed?)")


def _lines(text: str) -> tuple[list[str], str]:
    """The lines, and what separates their fields.

    Excel writes semicolons where the comma is the decimal mark, and tabs when asked; some programs tell it which by a
    first line such as "sep=;".
    """
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
    told = re.fullmatch(r'"?sep=([,;\t|:])"?\s*', lines[0]) if lines else None
    if told:
        return ["\n", *lines[1:]], told[1]
    header = re.sub(r'"[^"]*"', "", next((line for line in lines if line.strip()), ""))
    return lines, max(",;\t", key=header.count)


def _trimmed(cells: list[str]) -> list[str]:
    fields = [cell.strip() for cell in cells]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _wanted(header: list[str], columns: Columns | None) -> dict[str, list[str]]:
    """The columns that make each field, as they are called; an optional one must be there only if it is named."""
    told = columns or Columns()
    wanted = {"id": [told.id], "name": told.name.split(JOIN), "email": [told.email], "ssh_keys": [told.ssh_keys]}
    must = {*REQUIRED, *told.model_fields_set}
    return {key: names for key, names in wanted.items() if key in must or _places(header, names)}


def _places(header: list[str], names: list[str]) -> list[int]:
    """Where columns are. Capitals, and how many spaces there are, make no difference."""
    return [place for name in names for place, cell in enumerate(header) if _folded(cell) == _folded(name)]


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _joined(fields: list[str], places: list[int]) -> str:
    return " ".join(fields[place] for place in places if fields[place])


def _header_problems(header: list[str], wanted: Mapping[str, list[str]], strict: bool) -> list[str]:
    named = [name.strip() for names in wanted.values() for name in names]
    known = {_folded(name) for name in named}
    found = [_folded(cell) for cell in header]
    problems = [f"column {name!r} is missing" for name in named if _folded(name) not in found]
    problems += [f"column {cell!r} is not known" for cell in header if strict and _folded(cell) not in known]
    problems += [f"column {name!r} is there twice" for name in sorted({*found} & known) if found.count(name) > 1]
    if problems and not strict:
        problems.append(f"its columns are {', '.join(header)}")
    return problems


def _student(row: _Row) -> tuple[Student, list[str]]:
    fields, problems = row.fields, []
    for name in REQUIRED:
        if not fields[name]:
            problems.append(f"{name} is empty")
        elif not fields[name].isprintable():
            problems.append(f"{name} {fields[name]!r} holds a character that cannot be printed")
    if fields["id"] and not STUDENT_ID.fullmatch(fields["id"]):
        problems.append(
            f"id {fields['id']!r} must be 1 to 48 letters, digits, '.', '_' or '-', a letter or digit first"
        )
    if fields["email"] and not _EMAIL.fullmatch(fields["email"]):
        problems.append(f"email {fields['email']!r} is not an address")
    keys = [key.strip() for key in re.split(r"[\n|;]", fields.get("ssh_keys", "")) if key.strip()]
    problems += [words for key in keys if (words := _key_problem(key))]
    plain = tuple(" ".join(key.split()[:2]) for key in keys)
    return Student(fields["id"], fields["name"], fields["email"], plain), problems


def _key_problem(key: str) -> str | None:
    kind, _, rest = key.partition(" ")
    shown = key if len(key) <= 30 else key[:27] + "..."
    if "PRIVATE KEY" in key:
        return "ssh_keys holds a private key: take it out, and ask the student for a new public one"
    if not _KEY_TYPES.fullmatch(kind):
        return f"ssh key {shown!r} does not begin with a key type such as ssh-ed25519 or ssh-rsa"
    try:
        data = base64.b64decode((rest.split() or [""])[0], validate=True)
    except (binascii.Error, ValueError):
        return f"ssh key {shown!r} is damaged: its second word is not base64"
    # RFC 4253, 6.6: the data begins with the type again, after its length in four bytes.
    if (
        data[:4] != len(kind).to_bytes(4, "big")
        or data[4 : 4 + len(kind)] != kind.encode()
        or len(data) < len(kind) + 36
    ):
        return f"ssh key {shown!r} is damaged: its data is cut or of another type"
    return None
