"""The text in which LVM2 keeps its metadata (lib/config/config.c): `key = value` and `name { }`, parsed and written."""

import re
from typing import TypeAlias

from provision.errors import InvalidInputError

Value: TypeAlias = int | str | list[int | str] | dict[str, "Value"]
Section: TypeAlias = dict[str, Value]

_DEPTH = 16  # sections within sections; LVM needs five
_TOKEN = re.compile(r'(?P<skip>\s+|#[^\n]*)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[\w.+\-]+)|(?P<sign>[{}\[\]=,])', re.A)
_SIGNS = "{}[]=,"
_INTEGER = re.compile(r"-?[0-9]{1,19}")


def parse(text: str, name: str) -> Section:
    """`text` as a section; `name` says in messages what it is. Raises InvalidInputError."""
    stack: list[Section] = [{}]
    tokens = _tokens(text, name)
    while tokens:
        word, place = tokens.pop()
        if word == "}" and len(stack) > 1:
            stack.pop()
            continue
        following = tokens.pop()[0] if tokens and word not in _SIGNS else ""
        if following == "{" and len(stack) < _DEPTH:
            inner: Section = {}
            stack[-1][word] = inner
            stack.append(inner)
        elif following == "=" and tokens:
            stack[-1][word] = _value(tokens, name)
        else:
            raise _wrong(name, place)
    if len(stack) > 1:
        raise _wrong(name, len(text))
    return stack[0]


def _tokens(text: str, name: str) -> list[tuple[str, int]]:
    """What `text` consists of, with its places, the last first."""
    tokens, place = [], 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:
            raise _wrong(name, place)
        if found.lastgroup != "skip":
            tokens.append((found[0], place))
        place = found.end()
    return tokens[::-1]


def _value(tokens: list[tuple[str, int]], name: str) -> Value:
    word, place = tokens.pop()
    if word != "[":
        return _single(word, place, name)
    values: list[int | str] = []
    while tokens:
        word, place = tokens.pop()
        if word == "]":
            return values
        if word != ",":
            values.append(_single(word, place, name))
    raise _wrong(name, place)


def _single(word: str, place: int, name: str) -> int | str:
    if word.startswith('"'):
        return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL)
    if not _INTEGER.fullmatch(word):
        raise _wrong(name, place)
    return int(word)


def _wrong(name: str, place: int) -> InvalidInputError:
    return InvalidInputError(f"{name} is not as LVM writes it: byte {place} of its text makes no sense.")


def written(section: Section) -> str:
    """`section` as LVM reads it."""
    return "".join(_entry(key, value) for key, value in section.items())


def _entry(key: str, value: Value) -> str:
    if isinstance(value, dict):
        return f"{key} {{\n{written(value)}}}\n"
    if isinstance(value, list):
        return f"{key} = [{', '.join(map(_literal, value))}]\n"
    return f"{key} = {_literal(value)}\n"


def _literal(value: int | str) -> str:
    return str(value) if isinstance(value, int) else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
