"""Reading course.toml: what its models cannot say of it, because it is between two keys."""

from collections.abc import Iterator
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from provision.core.course import Course
from provision.core.toml_file import parse_file, shown
from provision.core.toml_lines import Path


def parse_course(text: str, place: str) -> Course:
    """The course that `text` describes; `place` names it in messages. Raises InvalidInputError with every problem."""
    return parse_file(text, place, Course, _conflicts)


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
            yield path, f"{shown(value)} {words.format(first=first)}"


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
