"""Reading a TOML file into its model: every problem at once, each with its line and key, and what was meant."""

import re
import tomllib
from collections.abc import Callable, Iterable
from datetime import date, time
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from provision.core.toml_lines import Path, toml_lines
from provision.core.values import WORDS
from provision.errors import InvalidInputError

T = TypeVar("T", bound=BaseModel)

SHOWN = 60  # characters of a wrong value
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TYPES = {
    "string_type": 'should be text in quotes ("...")',
    "int_type": "should be a whole number, without quotes or a point",
    "tuple_type": "should be a list ([...])",
    "model_type": "should be a table",
    "bool_type": "should be true or false, without quotes",
    "date_type": "should be a date, without quotes (such as 2026-10-03)",
    "string_too_short": "must not be empty",
    "too_short": "must name at least one",
}


def parse_file(
    text: str, place: str, model: type[T], conflicts: Callable[[dict[str, Any]], Iterable[tuple[Path, str]]]
) -> T:
    """What `text` says, as a `model`; `place` names it in messages. Raises InvalidInputError with every problem.

    `conflicts` finds what is wrong between keys that are each right, in data that may be wrong otherwise, too.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    data = _read(text, place)
    found = list(conflicts(data))
    try:
        made = model.model_validate(data)
    except ValidationError as exc:
        found = [(error["loc"], _words(model, dict(error))) for error in exc.errors(include_url=False)] + found
    else:
        if not found:
            return made
    lines = toml_lines(text)
    problems = tuple(words for _, words in sorted((_placed(path, words, lines) for path, words in found), key=_line))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise InvalidInputError(f"{place} has {count}.", problems=problems)


def _read(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # numbers of 5000 digits, a thousand nested lists: neither is ours
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
    return key if re.fullmatch(r"[\w-]{1,60}", key) else shown(key)


def shown(value: object) -> str:
    """A wrong value as a message quotes it."""
    words = str(value) if isinstance(value, date | time) else repr(value)
    words = words.lower() if isinstance(value, bool) else words
    return words if len(words) <= SHOWN else words[: SHOWN - 3] + "..."


def _words(model: type[BaseModel], error: dict[str, Any]) -> str:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        return f"is missing{_meaning(model, error['loc'])}"
    if kind == "extra_forbidden":
        return f"is not a key that {model.model_config['title']} knows{_meant(model, error['loc'])}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "tuple_type" and (field := _field_at(model, error["loc"])) and is_array(field):
        return f"should be an array of tables: write [[{error['loc'][-1]}]]"
    if kind == "model_type" and isinstance(value, list):
        return "should be one table: write it with one pair of brackets"
    if kind in ("string_too_short", "too_short"):
        return _TYPES[kind]
    if kind == "string_pattern_mismatch":
        return f"{WORDS[context['pattern']]}, not {shown(value)}"
    if kind == "literal_error":
        return f"should be {context['expected']}, not {shown(value)}"
    message = str(error["msg"]).replace("Input should", "should", 1).replace("String should", "should", 1)
    return f"{_TYPES.get(kind, message)}, not {shown(value)}"


def _meaning(model: type[BaseModel], path: Path) -> str:
    """What is missing, in words; of a table, the keys that it must have."""
    field = _field_at(model, path)
    if field is None:
        return ""
    table = table_of(field)
    if table is None:
        return f" ({field.description})"
    required = [name for name, each in table.model_fields.items() if each.is_required()]
    return f": a table [{path[-1]}] with {' and '.join(required) or ' or '.join(table.model_fields)}"


def _meant(model: type[BaseModel], path: Path) -> str:
    """The key that an unknown one was probably meant to be."""
    above = _field_at(model, path[:-1]) if len(path) > 1 else None
    table = (table_of(above) if above else None) or model
    key = str(path[-1])
    if close := get_close_matches(key.lower().replace("-", "_"), table.model_fields, n=1):
        return f"; did you mean {close[0]}?"
    for name, field in model.model_fields.items():
        if (other := table_of(field)) and other is not table and key in other.model_fields:
            return f"; it is a key of [{name}]"
    return f"; known here: {', '.join(table.model_fields)}" if table.model_fields else "; this table has no keys"


def _field_at(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """The field of the models that a path leads to; elements of a list lead to the list's own."""
    table: type[BaseModel] | None = model
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


def is_array(field: FieldInfo) -> bool:
    """Whether a table is there many times, as TOML writes it with two pairs of brackets."""
    return get_origin(field.annotation) is tuple and table_of(field) is not None
