"""roster.csv: who gets a machine. Read as registries and Excel write it, with every bad row reported at once."""

import base64
import binascii
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from provision.core.naming import STUDENT_ID
from provision.errors import InvalidInputError

REQUIRED = ("id", "name", "email")
OPTIONAL = ("ssh_keys",)

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


def parse_roster(text: str, place: str) -> tuple[Student, ...]:
    """The students that `text` lists; `place` names it in messages. Raises InvalidInputError with every problem."""
    problems: list[str] = []
    students: list[Student] = []
    seen: dict[str, int] = {}
    for row in _rows(text, problems):
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
        return "The first line must be: id,name,email or id,name,email,ssh_keys"
    return None


def _rows(text: str, problems: list[str]) -> Iterator[_Row]:
    """The records that are not blank, each with its first line's number. What stops the reading goes to `problems`."""
    text = text.removeprefix("\ufeff")
    reader = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text), strict=True, skipinitialspace=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            fields = _trimmed(cells)
            if fields and header is None:
                header = [field.lower() for field in fields]
                if wrong := _header_problems(header):
                    problems += [f"line {line}: {words}" for words in wrong]
                    return
            elif fields and header is not None and len(fields) > len(header):
                problems.append(f"line {line}: has {len(fields)} fields, but the header has {len(header)}")
            elif fields and header is not None:
                fields += [""] * (len(header) - len(fields))
                yield _Row(line, dict(zip(header, fields, strict=True)))
            line = reader.line_num + 1
    except csv.Error as exc:
        problems.append(f"line {line}: is not CSV: {exc} (a quote that is not closed?)")


def _delimiter(text: str) -> str:
    """What separates the fields: Excel writes semicolons where the comma is the decimal mark, and tabs when asked."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def _trimmed(cells: list[str]) -> list[str]:
    fields = [cell.strip() for cell in cells]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _header_problems(header: list[str]) -> list[str]:
    problems = [f"column {name!r} is missing" for name in REQUIRED if name not in header]
    problems += [f"column {name!r} is not known" for name in header if name not in REQUIRED + OPTIONAL]
    problems += [f"column {name!r} is there twice" for name in sorted(set(header)) if header.count(name) > 1]
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
