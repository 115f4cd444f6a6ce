"""The log of a build: what is in it, and what is not."""

import logging
from pathlib import Path

import pytest

from provision.errors import CommandError
from provision.process import run
from provision.progress import Silent
from provision.workflows.buildlog import logged, without_passwords


def test_phases_notes_and_commands_are_written(tmp_path: Path) -> None:
    file, level = tmp_path / "build.log", logging.getLogger("provision").level
    with logged(file, Silent()) as told, told.phase("Baking") as phase:
        phase.note("jupyter: Install it")
        run(["echo", "two words"], deadline=10)
        phase.result("7 tasks")
    lines = [line.split(" ", 1)[1] for line in file.read_text().splitlines()]
    assert lines[:3] == ["== Baking", "Baking: jupyter: Install it", "$ echo 'two words'"]
    assert lines[3].startswith("== Baking: done in 0.")
    assert lines[3].endswith(" s (7 tasks)")
    assert logging.getLogger("provision").level == level


def test_how_it_ended_is_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "build.log"
    with pytest.raises(CommandError), logged(file, Silent()) as told, told.phase("Baking"):
        raise CommandError("no network")
    first, failed, last = (line.split(" ", 1)[1] for line in file.read_text().splitlines())
    assert (first, last) == ("== Baking", "Ended by CommandError: no network")
    assert failed.startswith("== Baking: failed after 0.")


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("https://me:secret@pypi.example.org/simple", "https://me:***@pypi.example.org/simple"),
        ("http_proxy=http://me:s3:cret@proxy:3128 x", "http_proxy=http://me:***@proxy:3128 x"),
        ("two http://a:b@c http://d:e@f", "two http://a:***@c http://d:***@f"),
        ("https://pypi.example.org:8080/a@b", "https://pypi.example.org:8080/a@b"),
        ("ssh git@example.org:22", "ssh git@example.org:22"),
    ],
)
def test_passwords_in_addresses_are_not(said: str, written: str, tmp_path: Path) -> None:
    assert without_passwords(said) == written
    with logged(tmp_path / "log", Silent()) as told:
        told.say(said)
    assert (tmp_path / "log").read_text().endswith(f" {written}\n")
