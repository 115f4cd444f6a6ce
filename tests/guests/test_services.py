"""What is proved in a signed-in browser, against a real Jupyter Server on loopback, and against what it lacks."""

from pathlib import Path

import pytest

from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.probes import NotYetError
from provision.guests.services import (
    delete_folders,
    prove_data,
    prove_databases,
    prove_healed,
    prove_install,
    prove_terminal,
)

FOLDERS = ("notebooks", "open refine; projects")
# What they stand for: psql that can multiply in the database "course", and pip whose wheelhouse has "pandas" alone.
PSQL = """#!/bin/sh
[ "$4" = course ] || { echo "psql: error: database \\"$4\\" does not exist" >&2; exit 2; }
echo $((${6#select }))
"""
PIP = """import sys
names = [word for word in sys.argv[2:] if not word.startswith("--")]
if "--user" not in sys.argv or names != ["pandas"]:
    sys.exit("ERROR: No matching distribution found for " + " ".join(names))
"""


@pytest.fixture
def browser(url: str, password: str, home: Path) -> Jupyter:
    """A signed-in browser; the home's programs and folders are as the course says."""
    for folder in (*FOLDERS, "bin", "modules/pip"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "bin/psql").write_text(PSQL)
    (home / "bin/psql").chmod(0o755)
    (home / "modules/pip/__main__.py").write_text(PIP)
    (home / "modules/pip/__init__.py").touch()
    browser = Jupyter(url)
    assert browser.sign_in(password)
    return browser


def test_a_terminal(browser: Jupyter, url: str) -> None:
    prove_terminal(browser)
    with pytest.raises(JupyterError, match="403"):
        prove_terminal(Jupyter(url))


def test_databases(browser: Jupyter) -> None:
    prove_databases(browser, ["course"])
    with pytest.raises(NotYetError, match=r"query of other .*does not exist"):
        prove_databases(browser, ["course", "other"])


def test_packages(browser: Jupyter) -> None:
    prove_install(browser, ["pandas"])
    with pytest.raises(NotYetError, match="exit code 1 ERROR: No matching distribution found for numpy"):
        prove_install(browser, ["numpy"])


def test_folders_are_deleted_and_must_be_there_again(browser: Jupyter, home: Path) -> None:
    prove_healed(browser, FOLDERS)
    delete_folders(browser, FOLDERS)
    assert not any((home / folder).exists() for folder in FOLDERS)
    with pytest.raises(NotYetError, match=r"cannot write there: (?s:.*)No such file"):
        prove_healed(browser, FOLDERS)
    (home / FOLDERS[0]).mkdir()
    with pytest.raises(NotYetError, match="cannot write there"):
        prove_healed(browser, FOLDERS)


def test_folders_that_cannot_be_deleted(browser: Jupyter) -> None:
    with pytest.raises(NotYetError, match="deleting the folders failed"):
        delete_folders(browser, ["."])


def test_data_is_served(browser: Jupyter) -> None:
    with pytest.raises(NotYetError, match="/data/ answered 404"):
        prove_data(browser)
