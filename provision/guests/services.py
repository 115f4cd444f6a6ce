"""What a student uses once signed in, proved in a browser's session: terminals, databases, packages, data."""

import secrets
import shlex
from collections.abc import Sequence

from provision.guests.jupyter import Jupyter
from provision.guests.probes import NotYetError

COMMAND_SECONDS = 120.0
INSTALL_SECONDS = 300.0

# That all dependencies are among the wheels the role `offline` proves, where it takes seconds.
_INSTALL = """
import subprocess, sys
pip = [sys.executable, "-m", "pip", "install", "--user", "--no-compile", *{packages!r}]
done = subprocess.run(pip, capture_output=True, text=True)
print("pip ended with exit code", done.returncode, done.stderr[-800:] if done.returncode else "")
"""
_QUERY = """
import subprocess
done = subprocess.run({words!r}, capture_output=True, text=True)
print(done.stdout + done.stderr)
"""


def prove_terminal(browser: Jupyter) -> None:
    """Prove that a command typed into a terminal runs."""
    left, right = secrets.randbelow(10**6), secrets.randbelow(10**6)
    _code, shown = browser.type(f"expr {left} '*' {right}", deadline=COMMAND_SECONDS)
    if str(left * right) not in shown:
        raise NotYetError("a command that multiplies did not show the product")


def prove_databases(browser: Jupyter, databases: Sequence[str]) -> None:
    """Prove that a notebook can ask each of the databases, as the user that it runs as."""
    for database in databases:
        left, right = secrets.randbelow(10**4), secrets.randbelow(10**4)
        words = ["psql", "--no-psqlrc", "-tA", "-d", database, "-c", f"select {left} * {right}"]
        printed = browser.run(_QUERY.format(words=words), deadline=COMMAND_SECONDS).strip()
        if printed != str(left * right):
            raise NotYetError(f"a query of {database} that multiplies gave {printed[-300:]!r}")


def prove_install(browser: Jupyter, packages: Sequence[str]) -> None:
    """Prove that pip installs for the student what is not there yet of the packages."""
    printed = browser.run(_INSTALL.format(packages=list(packages)), deadline=INSTALL_SECONDS).strip()
    if printed != "pip ended with exit code 0":
        raise NotYetError(printed)


def prove_data(browser: Jupyter) -> None:
    """Prove that the course's data is at /data/, for who is signed in."""
    stranger = Jupyter(browser.url, trusted=browser.trusted)
    if 'name="password"' not in (answer := stranger.request("GET", "data/")).text:
        raise NotYetError(f"/data/ answered {answer.status_code} to a stranger, and not with the login page")
    answer = browser.request("GET", "data/")
    if not answer.ok or 'name="password"' in answer.text:
        raise NotYetError(f"/data/ answered {answer.status_code}")


def delete_folders(browser: Jupyter, folders: Sequence[str]) -> None:
    """Delete these folders of the home, as the student can, and have that written to the disk."""
    names = " ".join(map(_in_home, folders))
    code, shown = browser.type(f"cd /; rm -rf {names} && sync", deadline=COMMAND_SECONDS)
    if code:
        raise NotYetError(f"deleting the folders failed: {shown[-300:]}")


def prove_healed(browser: Jupyter, folders: Sequence[str]) -> None:
    """Prove that these folders of the home are there, that Jupyter shows the first, and that the student can write."""
    if not (answer := browser.request("GET", "api/contents/")).ok:
        raise NotYetError(f"GET /api/contents/ answered {answer.status_code}")
    tries = " && ".join(f"touch {_in_home(folder)}/.try && rm {_in_home(folder)}/.try" for folder in folders)
    code, shown = browser.type(tries, deadline=COMMAND_SECONDS)
    if code:
        raise NotYetError(f"the student cannot write there: {shown[-300:]}")


def _in_home(folder: str) -> str:
    """A folder of the home, in a shell's words."""
    return f'"$HOME"/{shlex.quote(folder)}'
