"""Layers on disk: whole or not there; and what mmdebstrap and apt are asked and say."""

from pathlib import Path

import pytest

from provision.lab.changes import new_packages, removed_packages
from provision.lab.health import unit_states
from provision.lab.layers import Layers, base_command, discard, drop, finish, made_from, parse_sources, remove
from provision.lab.release import load_release


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    folder = tmp_path / "zed"
    folder.mkdir()
    return Layers(folder)


def test_a_layer_counts_only_when_finished(layers: Layers) -> None:
    layers.partial(layers.base).mkdir()
    assert made_from(layers.base) is None
    finish(layers, layers.base, "a")
    assert made_from(layers.base) == "a"


def test_a_layer_interrupted_before_its_digest_does_not_count(layers: Layers) -> None:
    layers.base.mkdir()
    assert made_from(layers.base) is None
    discard(layers, layers.base)
    assert list(layers.folder.iterdir()) == []


def test_discard_takes_whole_and_partial(layers: Layers) -> None:
    layers.partial(layers.base).mkdir()
    finish(layers, layers.base, "a")
    layers.partial(layers.base).mkdir()
    discard(layers, layers.base)
    assert list(layers.folder.iterdir()) == []


def test_drop_finishes_an_interrupted_drop(layers: Layers) -> None:
    (layers.folder / "state.dropped/upper").mkdir(parents=True)
    (layers.state / "upper").mkdir(parents=True)
    drop(layers.state)
    assert list(layers.folder.iterdir()) == []


@pytest.mark.parametrize(("keep", "left"), [(True, {"base", "base.digest"}), (False, set())])
def test_remove(layers: Layers, keep: bool, left: set[str]) -> None:
    for layer in (layers.base, layers.pristine):
        layers.partial(layer).mkdir()
        finish(layers, layer, "a")
    layers.console.write_text("")
    remove(layers, keep_base=keep)
    assert {path.name for path in layers.folder.parent.rglob("*")} - {"zed"} == left
    assert layers.folder.exists() == keep


SOURCES = [
    ("Debian http://mirror/debian/ bookworm main", ["deb http://mirror/debian/ bookworm main"]),
    ("Debian http://mirror/debian/ bookworm-updates main", []),  # no base suite: not a Debian 12 host
    ("Debian http://mirror/debian/ trixie main", []),
    ("Vendor https://vendor/apt/ bookworm main", []),
    ("http://mirror/debian/ bookworm main", []),  # never fetched: no origin known
    (
        "Debian http://m/d/ bookworm main\nDebian http://m/s/ bookworm-security main\nVendor https://v/ bookworm main",
        ["deb http://m/d/ bookworm main", "deb http://m/s/ bookworm-security main"],
    ),
]


@pytest.mark.parametrize(("listed", "expected"), SOURCES)
def test_only_debians_own_sources_are_used(listed: str, expected: list[str]) -> None:
    assert parse_sources(listed, "bookworm") == expected


def test_the_build_of_the_base(tmp_path: Path) -> None:
    command = base_command(
        load_release("zed"), tmp_path / "base", ["deb http://m/ bookworm main"], tmp_path / "apt.conf"
    )
    assert command[-3:] == ["bookworm", str(tmp_path / "base"), "deb http://m/ bookworm main"]
    assert any("heat-engine" in word for word in command if word.startswith("--include="))


def test_what_apt_would_do() -> None:
    said = (
        "Inst mmdebstrap (1.3 Debian:12 [all])\nInst systemd [252.1] (252.2 Debian:12 [amd64])\nConf mmdebstrap (1.3)"
    )
    assert new_packages(said) == ["mmdebstrap"]
    assert removed_packages("Purg mmdebstrap [1.3]\nRemv other [1]\nConf x") == {"mmdebstrap", "other"}


def test_what_systemd_says() -> None:
    shown = "Id=a.service\nActiveState=active\nSubState=running\n\nId=b.service\nActiveState=failed\nSubState=failed\n"
    assert unit_states(shown) == {"a": "", "b": "failed (failed)"}
