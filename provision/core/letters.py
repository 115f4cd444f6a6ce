"""What a student is given to read: a Jinja2 template, checked before anything is launched, and filled for each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from traceback import walk_tb
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from provision.core.shape import SSH_PORTS, WEB_PORTS
from provision.errors import InvalidInputError


@dataclass(frozen=True)
class Letter:
    """A template, where it is from, and what is the same for all. `html`: what is filled in is escaped.

    `ssh`: whether machines let anybody in by SSH.
    """

    text: str
    place: str
    html: bool
    help: str
    end: date | None = None
    ssh: bool = False


@dataclass(frozen=True)
class Reader:
    """Whose letter it is, and the machine that it speaks of."""

    id: str
    name: str
    url: str
    user: str
    password: str = field(repr=False)
    key_file: str
    course: str
    presentation: str


VARIABLES = {
    "id": "the student's id, as in the roster",
    "name": "the student's name",
    "url": "the address to open, which was proved",
    "password": "the first password",
    "user": "the account on the machine",
    "address": "the machine's host name or address",
    "ssh_port": "the port of SSH; 0 where it is closed",
    "key_file": "the private key's file, below the folder of the handouts",
    "tls": "whether the address is https",
    "course": "the course's title",
    "presentation": "the presentation, such as 26J",
    "end": "the last day, a date; none where cohort.toml has none",
    "help": "how to get help, as cohort.toml says it",
}
SAMPLE = Reader("z1", "Ada Lovelace", "http://192.0.2.7/", "student", "a-b-c", "keys/z1", "A course", "26J")


def check_letter(letter: Letter) -> None:
    """Raise InvalidInputError with everything that is wrong with a template, each with its line."""
    environment = _environment(letter)
    try:
        tree = environment.parse(letter.text)
        unknown = find_undeclared_variables(tree) - {*VARIABLES, *environment.globals}
    except TemplateSyntaxError as exc:
        raise _wrong(letter, f"line {exc.lineno}: {exc.message}") from exc
    if unknown:
        raise _wrong(letter, *_unknown(tree, unknown))
    render(letter, SAMPLE)


def render(letter: Letter, reader: Reader) -> str:
    """The letter for one student. Raises InvalidInputError with the line at which it cannot be filled."""
    try:
        return _environment(letter).from_string(letter.text).render(_values(letter, reader))
    except TemplateSyntaxError as exc:
        raise _wrong(letter, f"line {exc.lineno}: {exc.message}") from exc
    except Exception as exc:  # a template can raise whatever Python can
        raise _wrong(letter, f"line {_line(exc.__traceback__)}: {exc or type(exc).__name__}") from exc


def _environment(letter: Letter) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        autoescape=letter.html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _values(letter: Letter, reader: Reader) -> dict[str, Any]:
    url = urlsplit(reader.url)
    ssh = 22 if url.port is None else url.port - WEB_PORTS + SSH_PORTS  # with a port it is a gateway's
    more = {"address": url.hostname, "tls": url.scheme == "https", "ssh_port": ssh if letter.ssh else 0}
    return {**vars(reader), **more, "help": letter.help, "end": letter.end}


def _unknown(tree: nodes.Template, names: set[str]) -> Iterator[str]:
    for node in sorted(tree.find_all(nodes.Name), key=lambda each: each.lineno):
        if node.name in names and node.ctx == "load":
            yield f"line {node.lineno}: there is no {node.name!r}"


def _line(traceback: TracebackType | None) -> int:
    """The template's own line: Jinja names its frames so, and numbers them as the template is."""
    return max((line for frame, line in walk_tb(traceback) if frame.f_code.co_filename == "<template>"), default=1)


def _wrong(letter: Letter, *problems: str) -> InvalidInputError:
    known = ", ".join(VARIABLES)
    return InvalidInputError(
        f"{letter.place} is not a template that can be filled (Jinja2). It can name: {known}.", problems=problems
    )
