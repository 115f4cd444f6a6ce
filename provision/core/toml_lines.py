"""Where things are written in a TOML file: the line of each key, table and element, which tomllib does not tell."""

import re
from collections import Counter
from dataclasses import dataclass

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'(?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<comment>#[^\n]*)|(?P<word>\n|[\[\]{},.=]|[^\s\"'#\[\]{},.=]+)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


@dataclass(frozen=True)
class _Token:
    word: str
    line: int


def toml_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of each key, table and element, by its path. `text` must be TOML that tomllib reads."""
    lines: dict[Path, int] = {}
    elements: Counter[Path] = Counter()  # of each array of tables, those that began
    tokens, table = _tokens(text), ()
    while tokens:
        token = tokens.pop()
        if token.word == "[":
            array = tokens[-1].word == "["
            table = _header(_key(tokens, "]"), array, elements)
            if array:
                tokens.pop()  # the second bracket
            for depth in range(len(table)):
                lines.setdefault(table[: depth + 1], token.line)
        elif token.word != "\n":
            tokens.append(token)
            _assignment(tokens, table, lines)
    return lines


def _tokens(text: str) -> list[_Token]:
    """The tokens, the first one last, without comments."""
    made, line, place = [], 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", place, match.start())
        place = match.start()
        if match.lastgroup != "comment":
            made.append(_Token(match[0], line))
    return made[::-1]


def _header(parts: Path, array: bool, elements: Counter[Path]) -> Path:
    """The path that a header opens: in an array of tables it is always the last element that is meant."""
    table: Path = ()
    for number, part in enumerate(parts, 1):
        table += (part,)
        if array and number == len(parts):
            elements[table] += 1
        if elements[table]:
            table += (elements[table] - 1,)
    return table


def _key(tokens: list[_Token], end: str) -> Path:
    """A key's parts; what comes after them, `end`, is taken too."""
    parts: list[str] = []
    while (word := tokens.pop().word) != end:
        if word not in (".", "["):
            parts.append(_plain(word))
    return tuple(parts)


def _plain(word: str) -> str:
    if word.startswith("'"):
        return word[1:-1]
    if word.startswith('"'):
        return _ESCAPE.sub(_unescaped, word[1:-1])
    return word


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code[1:], 16)) if code[0] in "uU" else _ESCAPED.get(code, code)


def _assignment(tokens: list[_Token], table: Path, lines: dict[Path, int]) -> None:
    line = tokens[-1].line
    key = _key(tokens, "=")
    for depth in range(len(key)):
        lines.setdefault(table + key[: depth + 1], line)
    _value(tokens, table + key, lines)


def _value(tokens: list[_Token], path: Path, lines: dict[Path, int]) -> None:
    opened = tokens.pop()
    if opened.word not in ("[", "{"):
        while tokens and tokens[-1].word not in ("\n", ",", "]", "}"):  # 1.5 and dates are several words
            tokens.pop()
        return
    number = 0
    while (word := tokens[-1].word) not in ("]", "}"):
        if word in ("\n", ","):
            tokens.pop()
        elif opened.word == "{":
            _assignment(tokens, path, lines)
        else:
            lines[(*path, number)] = tokens[-1].line
            _value(tokens, (*path, number), lines)
            number += 1
    tokens.pop()
