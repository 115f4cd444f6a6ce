"""What a Heat template makes: its resources in order, those of nested templates among them, and its outputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml


@dataclass(frozen=True)
class Part:
    """A resource of a template, with its properties as they are written. `path` leads there through nested ones."""

    path: tuple[str, ...]
    kind: str
    properties: Mapping[str, Any]
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
            yield Part((*above, name), kind, properties, given)
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


def resolve(value: Any, parameters: Mapping[str, Any], resources: Mapping[str, Mapping[str, Any]]) -> Any:
    """A value with its get_param, get_resource and get_attr replaced; other functions stay as they are written."""
    if isinstance(value, list):
        return [resolve(each, parameters, resources) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, word),) = value.items()
        if function == "get_param":
            return parameters.get(word if isinstance(word, str) else word[0])
        if function == "get_resource":
            return resources.get(word, {}).get("id")
        if function == "get_attr":
            return resources.get(word[0], {}).get(word[1])
    return {key: resolve(inner, parameters, resources) for key, inner in value.items()}
