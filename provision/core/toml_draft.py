"""A new TOML file from its model: every key with its meaning, filled with what is known."""

from collections.abc import Iterator, Mapping
from textwrap import wrap

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from provision.core.toml_file import is_array, table_of
from provision.core.toml_schema import written

WIDTH = 100  # columns of a comment
Filled = Mapping[str, Mapping[str, object] | list[Mapping[str, object]]]


def draft_file(model: type[BaseModel], filled: Filled, heading: str) -> str:
    """The text of a `model`'s file that says `filled`; what is optional and not known is there as a comment."""
    parts = ["\n".join(_comment(heading))]
    for name, field in model.model_fields.items():
        table = table_of(field)
        if table is None:
            continue
        known = filled.get(name)
        head = f"[[{name}]]" if is_array(field) else f"[{name}]"
        tables = known if isinstance(known, list) else [known or {}]
        about = "\n".join(_comment((table.__doc__ or "").strip()))
        off = known is None and not field.is_required() and not isinstance(field.default, BaseModel)
        bodies = [[head, *_keys(table, each)] for each in tables]
        lines = ["\n".join(f"# {line}" if off and line[0] != "#" else line for line in body) for body in bodies]
        parts.append("\n".join([about, "\n\n".join(lines)]))
    return "\n\n".join(parts) + "\n"


def _keys(table: type[BaseModel], known: Mapping[str, object]) -> Iterator[str]:
    # Of keys of which there must be exactly one, the first is written where none is known.
    extra = table.model_config.get("json_schema_extra")
    one_of = isinstance(extra, dict) and "oneOf" in extra
    first = next(iter(table.model_fields)) if one_of and not known else None
    for key, field in table.model_fields.items():
        yield from _comment(field.description or "")
        value = known.get(key, field.default if not field.is_required() else _example(field))
        wanted = value is not None or key == first
        yield f"{'' if wanted else '# '}{key} = {written(_example(field) if value is None else value)}"


def _example(field: FieldInfo) -> object:
    return field.examples[0] if field.examples else None


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(" ".join(text.split()), WIDTH - 2)]
