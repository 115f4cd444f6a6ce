"""What Heat makes of a template and its parameters, for the functions that ours use.

A real Heat's own answer is asked for in tests/lab. What another resource gives is written as a word here, such as
"<floating_ip.floating_ip_address>".
"""

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from provision.paths import data_path

Template = dict[str, Any]


def load(name: str) -> Template:
    """A template of heat/."""
    loaded: Template = yaml.safe_load(data_path(f"heat/{name}").read_text())
    return loaded


class Heat:
    """A template with its parameters: what is to be made of it, and what it puts out."""

    def __init__(self, template: Template, given: Mapping[str, Any]) -> None:
        self.template = template
        unknown = set(given) - set(template["parameters"])
        assert not unknown, f"Heat refuses parameters that a template does not have: {unknown}"
        self.parameters = {name: _parameter(each, given.get(name)) for name, each in template["parameters"].items()}
        self.conditions: dict[str, bool] = {}
        for name, condition in template.get("conditions", {}).items():
            self.conditions[name] = self._condition(condition)

    def resources(self) -> dict[str, Any]:
        """The resources that are made, by name, with their properties."""
        made = {
            n: each for n, each in self.template["resources"].items() if self._condition(each.get("condition", True))
        }
        return {name: self.value(each.get("properties", {})) for name, each in made.items()}

    def kinds(self) -> list[str]:
        """The types of the resources that are made, such as Port."""
        return sorted(self.template["resources"][name]["type"].rpartition("::")[2] for name in self.resources())

    def outputs(self) -> dict[str, Any]:
        """The outputs."""
        return {name: self.value(each["value"]) for name, each in self.template["outputs"].items()}

    def value(self, node: Any) -> Any:
        """A part of the template as Heat resolves it."""
        if isinstance(node, list):
            return [self.value(each) for each in node]
        if not isinstance(node, dict):
            return node
        (name, *others), functions = node or [None], self._functions()
        if others or name not in functions:
            return {key: self.value(each) for key, each in node.items()}
        return functions[name](node[name])

    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "get_param": lambda name: self.parameters[name],
            "get_resource": lambda name: f"<{name}>",
            "get_attr": lambda path: f"<{'.'.join(map(str, path))}>",
            "if": lambda args: self.value(args[1] if self._condition(args[0]) else args[2]),
            "list_concat": lambda lists: [item for each in lists for item in self.value(each)],
            "list_join": lambda args: args[0].join(self.value(args[1])),
            "repeat": self._repeat,
            "str_replace": self._str_replace,
        }

    def _condition(self, node: Any) -> bool:
        match node:
            case bool():
                return node
            case str():
                return self.conditions[node]
            case {"equals": [left, right]}:
                return bool(self.value(left) == self.value(right))
            case {"not": inner}:
                return not self._condition(inner)
            case {"or": inner}:
                return any(self._condition(each) for each in inner)
        raise NotImplementedError(node)

    def _repeat(self, args: Any) -> list[Any]:
        lists = {word: self.value(each) for word, each in args["for_each"].items()}
        rounds = itertools.product(*lists.values())
        return [_replaced(self.value(args["template"]), dict(zip(lists, each, strict=True))) for each in rounds]

    def _str_replace(self, args: Any) -> str:
        text: str = args["template"]
        for word, value in self.value(args["params"]).items():
            assert text.count(word) >= 1
            text = text.replace(word, value if isinstance(value, str) else json.dumps(value, sort_keys=True))
        return text


def _parameter(parameter: Mapping[str, Any], given: Any) -> Any:
    value = parameter["default"] if given is None else given
    if parameter["type"] == "comma_delimited_list" and isinstance(value, str):
        return [each.strip() for each in value.split(",") if each]
    return value


def _replaced(node: Any, words: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(each, words) for key, each in node.items()}
    if not isinstance(node, str):
        return node
    for word, value in words.items():
        node = node.replace(word, value)
    return node


def uses(node: Any, function: str) -> set[str]:
    """The names that `function` (get_param, get_resource) is called with anywhere below `node`."""
    if isinstance(node, list):
        return set().union(*(uses(each, function) for each in node))
    if isinstance(node, dict):
        own = {node[function]} if isinstance(node.get(function), str) else set()
        return own.union(*(uses(each, function) for each in node.values()))
    return set()
