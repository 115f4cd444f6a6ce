"""The units of the web are as confined as the others."""

from pathlib import Path

from tests.roles.units import unhardened


def test_our_units_are_hardened(web_root: Path) -> None:
    assert unhardened(web_root) == {}
