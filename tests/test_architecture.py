"""The floors: imports only point down, and each idea stays in its folder and its size."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "provision"
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "cli": 6,
    "portal": 5,
    "workflows": 4,
    "cloud": 3,
    "lab": 3,
    "guests": 2,
    "disks": 2,
    "core": 2,
    "clock": 1,
    "locks": 1,
    "paths": 1,
    "process": 1,
    "errors": 0,  # floor 1 too, like progress, but the rest of that floor uses them
    "progress": 0,
}

# Who alone may import what, and why.
RESERVED = {
    "openstack": {"cloud"},
    "keystoneauth1": {"cloud"},
    "keystoneclient": {"cloud"},
    "subprocess": {"process"},
    "click": {"cli"},
    "rich": {"cli"},
}
# What would make core impure.
IMPURE = {
    "os",
    "io",
    "time",
    "socket",
    "subprocess",
    "pathlib",
    "requests",
    "random",
    "secrets",
    "logging",
    "threading",
}

MODULE_LINES = 300
FUNCTION_LINES = 50


def part_of(module: Path) -> str:
    """The folder or file of floor 1 that a module belongs to; "" for the package itself."""
    inside = module.relative_to(PACKAGE).parts
    return inside[0].removesuffix(".py") if inside[0] != "__init__.py" else ""


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: import by full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_imports_point_down(module: Path) -> None:
    here = part_of(module)
    for name in imports(module):
        top, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if top == "provision" and there in FLOORS and here and there != here:
            assert FLOORS[there] < FLOORS[here], f"{here} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[there]})"
        if top in RESERVED:
            assert here in RESERVED[top], f"only {RESERVED[top]} may import {top}"
        if here == "core":
            assert top not in IMPURE, f"core is pure, and {top} is not"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_size(module: Path) -> None:
    text = module.read_text()
    assert text.count("\n") <= MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{node.name} is longer than {FUNCTION_LINES} lines"


def test_every_folder_has_a_floor() -> None:
    assert {part_of(module) for module in MODULES} <= {*FLOORS, ""}


@pytest.mark.parametrize("record", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=name_of)
def test_decisions_are_short(record: Path) -> None:
    assert len(record.read_text().splitlines()) <= 40


@pytest.mark.parametrize("role", sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir()), ids=name_of)
def test_roles_say_what_they_take(role: Path) -> None:
    assert (role / "meta" / "argument_specs.yml").is_file()
    assert (role / "tasks" / "main.yml").is_file()
    assert (role / "defaults" / "main.yml").is_file()
