"""A new course.toml: every key with its meaning, filled with what is known of the course's box."""

from collections.abc import Iterator, Mapping
from textwrap import wrap

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from provision.core.course import Course
from provision.core.course_file import table_of
from provision.core.course_schema import written

WIDTH = 100  # columns of a comment
Filled = Mapping[str, Mapping[str, object] | list[Mapping[str, object]]]


def draft_course(filled: Filled, heading: str) -> str:
    """The text of a course.toml that says `filled`; what is optional and not known is there as a comment."""
    parts = ["\n".join(_comment(heading))]
    for name, field in Course.model_fields.items():
        table = table_of(field)
        if table is None:
            continue
        known = filled.get(name)
        head = f"[[{name}]]" if name == "application" else f"[{name}]"
        tables = known if isinstance(known, list) else [known or {}]
        about = "\n".join(_comment((table.__doc__ or "").strip()))
        off = known is None and not field.is_required() and not isinstance(field.default, BaseModel)
        bodies = [[head, *_keys(table, each)] for each in tables]
        lines = ["\n".join(f"# {line}" if off and line[0] != "#" else line for line in body) for body in bodies]
        parts.append("\n".join([about, "\n\n".join(lines)]))
    return "\n\n".join(parts) + "\n"


def _keys(table: type[BaseModel], known: Mapping[str, object]) -> Iterator[str]:
    chosen = bool(known.keys() & {"build", "file"})
    for key, field in table.model_fields.items():
        yield from _comment(field.description or "")
        value = known.get(key, field.default if not field.is_required() else _example(field))
        wanted = value is not None or (key == "build" and not chosen)
        yield f"{'' if wanted else '# '}{key} = {written(_example(field) if value is None else value)}"


def _example(field: FieldInfo) -> object:
    return field.examples[0] if field.examples else None


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(" ".join(text.split()), WIDTH - 2)]
