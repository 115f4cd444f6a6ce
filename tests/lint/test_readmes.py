"""The roles' README files say what the roles take."""

from pathlib import Path

import pytest

from tests.lint.roles import all_roles, readme


@pytest.mark.parametrize("role", all_roles(), ids=lambda role: role.name)
def test_a_roles_readme_is_current(role: Path) -> None:
    there = role / "README.md"
    assert (there.read_text() if there.exists() else "") == readme(role), "run: python -m tests.lint.roles"
