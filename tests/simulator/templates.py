"""What a Heat template makes: its resources in order, those of nested templates among them, and its outputs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import yaml


@dataclass(frozen=True)
class Part:
    """A resource of a template, with its properties as they are written. `path` leads there through nested ones."""

    path: tuple[str, ...]
    kind: str
    properties: Mapping[str, Any]
    condition: Any
    given: Mapping[str, Any]  # what a nested template is given for its parameters, as the outer one writes it

    @property
    def name(self) -> str:
        return self.path[-1]


@lru_cache(maxsize=64)
def read(text: str) -> dict[str, Any]:
    """A template or environment; the same text is read once, for a cohort sends it a thousand times."""
    loaded = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are safe
    return loaded if isinstance(loaded, dict) else {}


def parts(template: Mapping[str, Any], registry: Mapping[str, str], files: Mapping[str, str]) -> list[Part]:
    """The resources, each after what it needs. `registry` maps types to names of `files`."""
    return list(_parts(template, registry, files, (), {}))


def _parts(
    template: Mapping[str, Any],
    registry: Mapping[str, str],
    files: Mapping[str, str],
    above: tuple[str, ...],
    given: Mapping[str, Any],
) -> Iterator[Part]:
    resources = template.get("resources") or {}
    for name in _in_order(resources):
        kind, properties = resources[name]["type"], resources[name].get("properties") or {}
        inner = files.get(registry.get(kind, kind))
        if inner is None:
            yield Part((*above, name), kind, properties, resources[name].get("condition", True), given)
        else:
            yield from _parts(read(inner), registry, files, (*above, name), properties)


def _in_order(resources: Mapping[str, Any]) -> list[str]:
    """The names, so that each comes after those that it names."""
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        for other in _named(resources[name]):
            if other in resources and other != name:
                visit(other)
        if name not in done:
            done.append(name)

    for name in resources:
        visit(name)
    return done


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "get_resource" or (key == "depends_on" and isinstance(inner, str)):
                yield inner
            elif key == "get_attr":
                yield inner[0]
            elif key == "depends_on":
                yield from inner
            else:
                yield from _named(inner)


@dataclass(frozen=True)
class Scope:
    """What a template's functions look up: parameters, conditions, and the attributes of resources that are made."""

    parameters: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]]


def scope(template: Mapping[str, Any], given: Mapping[str, Any], resources: Mapping[str, Mapping[str, Any]]) -> Scope:
    """That of a template whose parameters are `given`."""
    lists = {name for name, each in (template.get("parameters") or {}).items() if "list" in each["type"]}
    parameters = {name: _as_list(value) if name in lists else value for name, value in given.items()}
    return Scope(parameters, template.get("conditions") or {}, resources)


def _as_list(value: Any) -> Any:
    return [each.strip() for each in value.split(",") if each] if isinstance(value, str) else value


def resolve(value: Any, scope: Scope) -> Any:
    """A value with its functions replaced by what they give; those that none of our templates use stay as they are."""
    if isinstance(value, list):
        return [resolve(each, scope) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function in _FUNCTIONS:
            return _FUNCTIONS[function](argument, scope)
    return {key: resolve(inner, scope) for key, inner in value.items()}


def holds(condition: Any, scope: Scope) -> bool:
    """Whether a condition, or the one of that name, is true."""
    match condition:
        case bool():
            return condition
        case str():
            return holds(scope.conditions[condition], scope)
        case {"equals": [left, right]}:
            return bool(resolve(left, scope) == resolve(right, scope))
        case {"not": inner}:
            return not holds(inner, scope)
        case {"and": inner}:
            return all(holds(each, scope) for each in inner)
        case {"or": inner}:
            return any(holds(each, scope) for each in inner)
    raise NotImplementedError(condition)


def _path(start: Any, path: list[Any]) -> Any:
    """What is found by keys and places; nothing where there is nothing, as in Heat."""
    for step in path:
        try:
            start = start[step]
        except (KeyError, IndexError, TypeError):
            return None
    return start


def _repeat(argument: Any, scope: Scope) -> list[Any]:
    words = {word: resolve(each, scope) for word, each in argument["for_each"].items()}
    template = resolve(argument["template"], scope)
    return [_filled(template, dict(zip(words, each, strict=True))) for each in product(*words.values())]


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, words) for key, inner in value.items()}
    return words.get(value, value) if isinstance(value, str) else value


_FUNCTIONS: Mapping[str, Callable[[Any, Scope], Any]] = {
    "get_param": lambda name, scope: (
        scope.parameters.get(name) if isinstance(name, str) else _path(scope.parameters, name)
    ),
    "get_resource": lambda name, scope: scope.resources.get(name, {}).get("id"),
    "get_attr": lambda path, scope: _path(scope.resources, path),
    "if": lambda parts, scope: resolve(parts[1] if holds(parts[0], scope) else parts[2], scope),
    "list_concat": lambda lists, scope: [item for each in lists for item in resolve(each, scope)],
    "list_join": lambda parts, scope: str(parts[0]).join(str(each) for each in resolve(parts[1], scope)),
    "repeat": _repeat,
    "str_replace": lambda argument, _scope: argument["template"],  # what is in user-data is between Heat and a machine
}
