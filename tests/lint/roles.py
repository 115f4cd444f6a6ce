"""Each role's README.md, written from its meta/argument_specs.yml and defaults: `python -m tests.lint.roles`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


def all_roles() -> list[Path]:
    """The folders of the roles."""
    return sorted(path.parents[1] for path in ROLES.glob("*/meta/argument_specs.yml"))


def readme(role: Path) -> str:
    """What the README.md of a role should be."""
    spec = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    defaults = role / "defaults/main.yml"
    values = (yaml.safe_load(defaults.read_text()) or {}) if defaults.exists() else {}
    lines = [f"# {role.name}: {spec['short_description']}", "", *_paragraphs(spec.get("description", ()))]
    if options := spec.get("options"):
        lines += ["| variable | type | default | what |", "|---|---|---|---|", *_rows(options, values), ""]
    lines.append("Written by `python -m tests.lint.roles` from meta/argument_specs.yml and defaults/main.yml.")
    return "\n".join(lines) + "\n"


def _paragraphs(said: str | list[str]) -> Iterator[str]:
    for paragraph in [said] if isinstance(said, str) else said:
        yield from (" ".join(paragraph.split()), "")


def _rows(options: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        default = "required" if option.get("required") else f"`{values[name]!r}`" if name in values else ""
        what = " ".join(" ".join(_paragraphs(option.get("description", ""))).split())
        cells = (f"`{prefix}{name}`", option.get("type", "str"), default, what)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield from _rows(option.get("options", {}), {}, f"{prefix}{name}.")


if __name__ == "__main__":
    for each in all_roles():
        (each / "README.md").write_text(readme(each))
