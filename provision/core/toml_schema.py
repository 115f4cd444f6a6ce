"""The JSON Schema of a TOML file, for editors, and how TOML writes a value."""

from typing import Any

from pydantic import BaseModel

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def file_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a model's file. TOML knows no null: what may be left out is not required."""
    made: dict[str, Any] = _without_null(model.model_json_schema())
    name = str(model.model_config["title"]).removesuffix(".toml")
    return {"$schema": DRAFT, "$id": f"{name}.schema.json", **made}


def _without_null(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_null(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _without_null(value) for key, value in node.items() if value is not None}
    kinds = [each for each in made.get("anyOf", []) if each != {"type": "null"}]
    if len(kinds) == 1:
        del made["anyOf"]
        made = {**kinds[0], **made}
    return made


def written(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        signs = {'"': '\\"', "\\": "\\\\"}
        return '"' + "".join(signs.get(sign) or (sign if sign.isprintable() else _code(sign)) for sign in value) + '"'
    return str(value)


def _code(sign: str) -> str:
    return f"\\U{ord(sign):08X}"
