"""The units of the web are as confined as the others."""

from pathlib import Path

from tests.roles.units import foreign_drop_ins, unhardened


def test_our_units_are_hardened(web_root: Path) -> None:
    assert unhardened(web_root) == {}


def test_nothing_of_the_box_wins_over_them(web_root: Path) -> None:
    assert foreign_drop_ins(web_root) == []
