"""course.toml: what a course's machine is made from and what it needs; every problem is reported at once."""

import re
import tomllib
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from provision.errors import InvalidInputError

# No hyphen: course, presentation and student are joined by hyphens, and must come apart again.
CourseName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,31}$")]
LoginName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]

_PATTERNS = {
    r"^[a-z][a-z0-9]{0,31}$": "must be 1 to 32 small letters and digits, a letter first (such as tm351)",
    r"^[a-z_][a-z0-9_-]{0,31}$": "must be a Linux login name: small letters, digits, _ and -, at most 32",
}


def _beside(value: str) -> str:
    if not value or value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be a path beside course.toml, not absolute and without ..")
    return value


def _ordinary(value: str) -> str:
    if value == "root":
        raise ValueError("must be an ordinary user, not root")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class CourseTable(_Table):
    """[course]: who it is."""

    name: CourseName
    title: Text


class Box(_Table):
    """[box]: the VirtualBox source, made by an executable (called as `BUILD TARGET.box`) or there as a file."""

    build: Annotated[str, AfterValidator(_beside)] | None = None
    file: Annotated[str, AfterValidator(_beside)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.build is None) == (self.file is None):
            raise ValueError("needs exactly one of build and file")
        return self


class Machine(_Table):
    """[machine]: the smallest that the course runs on; the flavor is chosen by it. Memory in MiB, disk in GiB."""

    vcpus: int = Field(ge=1, le=64)
    memory_mb: int = Field(ge=256, le=1024 * 1024)
    disk_gb: int = Field(ge=1, le=4096)


class User(_Table):
    """[user]: the account in which a student works."""

    name: Annotated[LoginName, AfterValidator(_ordinary)]
    group: Annotated[LoginName, AfterValidator(_ordinary)]


class Jupyter(_Table):
    """[jupyter]: pip requirements installed beside JupyterLab."""

    packages: tuple[Text, ...] = Field(default=(), strict=False)


class Course(_Table):
    """A whole course.toml."""

    course: CourseTable
    box: Box
    machine: Machine
    user: User
    jupyter: Jupyter = Jupyter()

    @property
    def name(self) -> str:
        """The course's short name, such as tm351."""
        return self.course.name

    @property
    def title(self) -> str:
        """The course's name as people read it."""
        return self.course.title


def parse_course(text: str, place: str) -> Course:
    """The course that `text` describes; `place` names it in messages. Raises InvalidInputError with every problem."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        return Course.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise InvalidInputError(f"{place} is not valid TOML.", problems=(str(exc),)) from exc
    except ValidationError as exc:
        lines = _key_lines(text)
        problems = tuple(_problem(dict(error), lines) for error in exc.errors(include_url=False))
        raise InvalidInputError(f"{place} has {_count(problems)}.", problems=problems) from exc


def _count(problems: tuple[str, ...]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def _problem(error: dict[str, Any], lines: dict[str, int]) -> str:
    key = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
    line = lines.get(key) or lines.get(key.rpartition(".")[0])
    return (f"line {line}: " if line else "") + f"{key}: {_words(error)}"


def _words(error: dict[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a key that course.toml knows"
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS[context['pattern']]}, not {error['input']!r}"
    if kind == "value_error":
        return str(context["error"])
    message = str(error["msg"]).replace("Input should", "should", 1).replace("valid tuple", "list")
    return f"{message}, not {error['input']!r}"


_TABLE = re.compile(r"^\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"^\s*([\w-]+)\s*=")


def _key_lines(text: str) -> dict[str, int]:
    """The line (from 1) of each `table` and `table.key`, as far as plain TOML shows them."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = header[1]
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{key[1]}".lstrip("."), number)
    return lines
