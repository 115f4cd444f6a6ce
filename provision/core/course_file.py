"""Reading course.toml: every problem at once, each with its line and key, and what was probably meant."""

import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from provision.core.course import Course
from provision.core.toml_lines import Path, toml_lines
from provision.core.values import WORDS
from provision.errors import InvalidInputError

SHOWN = 60  # characters of a wrong value
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TYPES = {
    "string_type": 'should be text in quotes ("...")',
    "int_type": "should be a whole number, without quotes or a point",
    "tuple_type": "should be a list ([...])",
    "model_type": "should be a table",
    "string_too_short": "must not be empty",
    "too_short": "must name at least one",
}


def parse_course(text: str, place: str) -> Course:
    """The course that `text` describes; `place` names it in messages. Raises InvalidInputError with every problem."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    data = _read(text, place)
    found = list(_conflicts(data))
    try:
        course = Course.model_validate(data)
    except ValidationError as exc:
        found = [(error["loc"], _words(dict(error))) for error in exc.errors(include_url=False)] + found
    else:
        if not found:
            return course
    lines = toml_lines(text)
    problems = tuple(words for _, words in sorted((_placed(path, words, lines) for path, words in found), key=_line))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise InvalidInputError(f"{place} has {count}.", problems=problems)


def _read(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # numbers of 5000 digits, a thousand nested lists: neither is a course
        found = _PLACE.search(str(exc))
        line = f"line {found[1] or text.count(chr(10)) + 1}: " if found else ""
        problem = f"{line}{_PLACE.sub('', str(exc))}"
        hint = "The reading stopped there; what comes after it is not checked yet."
        raise InvalidInputError(f"{place} is not valid TOML.", problems=(problem,), hint=hint) from exc


def _line(placed: tuple[int, str]) -> int:
    return placed[0]


def _placed(path: Path, words: str, lines: dict[Path, int]) -> tuple[int, str]:
    """A problem's line, 0 for none, and the whole of its text."""
    known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    line = lines[known] if known else 0
    return line, (f"line {line}: " if line else "") + f"{_shown_path(path)}: {words}"


def _shown_path(path: Path) -> str:
    """A path as people write it, elements counted from 1: application[2].port."""
    parts = (f"[{part + 1}]" if isinstance(part, int) else f".{_shown_key(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def _shown_key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,60}", key) else _shown(key)


def _shown(value: object) -> str:
    words = str(value).lower() if isinstance(value, bool) else repr(value)
    return words if len(words) <= SHOWN else words[: SHOWN - 3] + "..."


def _words(error: dict[str, Any]) -> str:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        return f"is missing{_meaning(error['loc'])}"
    if kind == "extra_forbidden":
        return f"is not a key that course.toml knows{_meant(error['loc'])}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "tuple_type" and error["loc"] == ("application",):
        return "should be an array of tables: write [[application]]"
    if kind == "model_type" and isinstance(value, list):
        return "should be one table: write it with one pair of brackets"
    if kind in ("string_too_short", "too_short"):
        return _TYPES[kind]
    if kind == "string_pattern_mismatch":
        return f"{WORDS[context['pattern']]}, not {_shown(value)}"
    if kind == "literal_error":
        return f"should be {context['expected']}, not {_shown(value)}"
    message = str(error["msg"]).replace("Input should", "should", 1).replace("String should", "should", 1)
    return f"{_TYPES.get(kind, message)}, not {_shown(value)}"


def _meaning(path: Path) -> str:
    """What is missing, in words; of a table, the keys that it must have."""
    field = field_at(path)
    if field is None:
        return ""
    table = table_of(field)
    if table is None:
        return f" ({field.description})"
    required = [name for name, each in table.model_fields.items() if each.is_required()]
    return f": a table [{path[-1]}] with {' and '.join(required) or 'build or file'}"


def _meant(path: Path) -> str:
    """The key that an unknown one was probably meant to be."""
    above = field_at(path[:-1]) if len(path) > 1 else None
    table = (table_of(above) if above else None) or Course
    key = str(path[-1])
    if close := get_close_matches(key.lower().replace("-", "_"), table.model_fields, n=1):
        return f"; did you mean {close[0]}?"
    for name, field in Course.model_fields.items():
        if (other := table_of(field)) and other is not table and key in other.model_fields:
            return f"; it is a key of [{name}]"
    return f"; known here: {', '.join(table.model_fields)}" if table.model_fields else "; this table has no keys"


def field_at(path: Path) -> FieldInfo | None:
    """The field of the models that a path leads to; elements of a list lead to the list's own."""
    table: type[BaseModel] | None = Course
    field = None
    for name in (part for part in path if isinstance(part, str)):
        field = table.model_fields.get(name) if table else None
        table = table_of(field) if field else None
    return field


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field holds: itself, optional, or many times."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _conflicts(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What is wrong between keys that are each right; `data` may be wrong otherwise, too."""
    box = data.get("box")
    if isinstance(box, dict) and ("build" in box) == ("file" in box):
        yield ("box",), "needs exactly one of build and file"
    yield from _tls(data.get("public"))
    applications = data.get("application")
    for key in ("name", "port"):
        rows = enumerate(applications if isinstance(applications, list) else [])
        told: list[tuple[Path, Any]] = [
            (("application", row, key), table.get(key)) for row, table in rows if isinstance(table, dict)
        ]
        yield from _doubles(told, f"is the {key} of application[{{first}}] already")
    for table, key in (("user", "folders"), ("postgresql", "databases")):
        yield from _doubles(_elements(data, table, key), "is in the list already, as number {first}")
    for table in ("jupyter", "offline"):
        entries = [(path, _package(value)) for path, value in _elements(data, table, "packages")]
        yield from _doubles(entries, "is in the list already, as number {first}")
    yield from _memory(data)


def _elements(data: dict[str, Any], table: str, key: str) -> list[tuple[Path, Any]]:
    held = data.get(table)
    values = held.get(key) if isinstance(held, dict) else None
    return [((table, key, number), value) for number, value in enumerate(values if isinstance(values, list) else [])]


def _package(value: object) -> str | None:
    """What makes a requirement another one: package and marker."""
    try:
        wanted = Requirement(str(value))
    except InvalidRequirement:
        return None
    return f"{canonicalize_name(wanted.name)}; {wanted.marker}"


def _doubles(entries: list[tuple[Path, Any]], words: str) -> Iterator[tuple[Path, str]]:
    """Those whose value came before."""
    seen: dict[str, int] = {}
    for path, value in entries:
        if not isinstance(value, str | int):
            continue
        number = next(part for part in path if isinstance(part, int)) + 1
        first = seen.setdefault(repr(value), number)
        if first != number:
            yield path, f"{_shown(value)} {words.format(first=first)}"


def _tls(public: object) -> Iterator[tuple[Path, str]]:
    if not isinstance(public, dict):
        return
    pair = ("certificate", "certificate_key")
    for key in ("name", *pair):
        if key in public and public.get("tls") == "none":
            yield ("public", key), 'means nothing with tls = "none": it is for HTTPS, which is "own"'
    for key, other in (pair, pair[::-1]):
        if key in public and other not in public:
            yield ("public", key), f"needs {other}, too"


def _memory(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    machine, openrefine = data.get("machine"), data.get("openrefine")
    if isinstance(machine, dict) and isinstance(openrefine, dict):
        all_of_it, part = machine.get("memory_mb"), openrefine.get("memory_mb", 512)
        if isinstance(all_of_it, int) and isinstance(part, int) and part >= all_of_it:
            yield ("openrefine", "memory_mb"), f"{part} is not less than the machine's own memory_mb, {all_of_it}"
