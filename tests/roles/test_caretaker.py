"""The caretaker's verbs on a real Debian, asked over real SSH by the client that the toolkit has for it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provision.guests.credentials import KeyPair, jupyter_hash, new_key_pair
from tests.roles.conftest import PASSWORD, Applied
from tests.roles.container import Container, booted
from tests.roles.test_roles import CELL, HEALTH, LOCKED, SIGN_IN, SSH

OTHER = "zzzz-zzzz-zzzz-zzzz"
RECORD = "etc/provision/student.json"
STATE = [RECORD, "etc/jupyter/password", "etc/jupyter/cookie-secret", "etc/ssh/authorized_keys"]
ASK = """
import json
from dataclasses import asdict
from pathlib import Path
from provision.errors import ProvisionError
from provision.guests.caretaker import *
door = Door("127.0.0.1", 22, Path({key!r}), "stack-1", Path({known!r}))
try:
    answer = {asked}
    print(json.dumps(asdict(answer) if answer else None, default=str))
except ProvisionError as error:
    print(json.dumps([type(error).__name__, error.message]))
"""
BUSY = """
from provision.guests.jupyter import Jupyter
browser = Jupyter("http://127.0.0.1/")
browser.sign_in({password!r})
browser.run("while True: pass", deadline=100)
"""


@dataclass(frozen=True)
class Kept:
    """A booted machine, its tree, and the folder of keys and files on our side."""

    machine: Container
    root: Path
    folder: Path
    student: KeyPair

    def ask(self, asked: str) -> Any:
        """What the client answers: the value's fields, or the error's kind and message."""
        key, known = str(self.folder / "caretaker"), str(self.folder / "known_hosts")
        return json.loads(self.machine.python(ASK.format(key=key, known=known, asked=asked)))

    def claim(self, student: str = "s1", password: str = PASSWORD, **more: str) -> Any:
        hashed = json.loads((self.folder / "hashes").read_text())[password]
        return self.ask(f"claim(door, Claim({student!r}, {hashed!r}, ({self.student.public!r},), **{more!r}))")

    def serves(self, password: str = PASSWORD) -> None:
        """Wait until the pages answer; this password opens them, and no other."""
        self.machine.wait_for(HEALTH, "200")
        assert self.machine.python(SIGN_IN.format(password=password)).split() == ["True", "False"]

    def ssh(self, user: str, key: str, *words: str) -> "subprocess.CompletedProcess[str]":
        into = ["nsenter", "--target", str(self.machine.leader), "--net", *SSH, "-i", str(self.folder / key)]
        return subprocess.run([*into, f"{user}@127.0.0.1", *words], capture_output=True, text=True, check=False)

    def record(self) -> dict[str, Any]:
        return dict(json.loads((self.root / RECORD).read_text()))


@pytest.fixture(scope="module")
def kept(applied: Applied, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A machine that is nobody's and knows a caretaker. The tree is left as it was."""
    folder = tmp_path_factory.mktemp("caretaker")
    pairs = {name: new_key_pair(name) for name in ("caretaker", "student")}
    for name, pair in pairs.items():
        (folder / name).write_text(pair.private)
        (folder / name).chmod(0o600)
    (folder / "hashes").write_text(json.dumps({each: jupyter_hash(each) for each in (PASSWORD, OTHER)}))
    record = {"student": "pool-1", "password_hash": "", "ssh_keys": [], "caretaker_keys": [pairs["caretaker"].public]}
    (applied.root / RECORD).write_text(json.dumps(record))
    home, hostname = applied.root / "home/student", (applied.root / "etc/hostname").read_text()
    subprocess.run(["cp", "--archive", home, folder / "home"], check=True)
    try:
        with booted(applied.root) as machine:
            yield Kept(machine, applied.root, folder, pairs["student"])
    finally:
        subprocess.run(["rm", "-rf", home, *(applied.root / name for name in STATE)], check=True)
        (applied.root / STATE[-1]).mkdir(mode=0o755)
        subprocess.run(["cp", "--archive", folder / "home", home], check=True)
        (applied.root / "etc/hostname").write_text(hostname)


def test_while_it_is_nobodys_the_caretaker_alone_gets_in(kept: Kept) -> None:
    kept.machine.wait_for(LOCKED, "True")
    assert kept.machine.run("systemctl", "is-active", "jupyter") == "inactive"
    assert "Permission denied (publickey)" in kept.ssh("student", "student", "id").stderr
    facts = kept.ask("diagnose(door)")
    assert (facts["student"], facts["password_file"], facts["failed"]) == ("", "absent", {})
    assert {"*:22", "*:80"} <= set(facts["listening"])
    assert kept.ask("activity(door)")["kernels"] == 0
    assert kept.ask("set_password(door, 'argon2:$argon2id$x')")[0] == "NotFoundError"


@pytest.mark.parametrize("words", [(), ("id",), ("activity; id",), ("activity", "--help"), ("/bin/sh",)])
def test_the_caretakers_key_opens_no_shell(kept: Kept, words: tuple[str, ...]) -> None:
    done = kept.ssh("caretaker", "caretaker", *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert "this caretaker knows activity, backup" in done.stderr


def test_its_account_may_run_the_verbs_and_nothing_else(kept: Kept) -> None:
    become = ("/usr/sbin/runuser", "-u", "caretaker", "--", "sudo", "-n")
    assert kept.machine.run(*become, "id") == ""
    assert kept.machine.run(*become, "/usr/local/lib/provision/caretake", "activity", "more") == ""
    assert '"kernels": 0' in kept.machine.run(*become, "/usr/local/lib/provision/caretake", "activity")


def test_a_claim_that_is_killed_leaves_nobodys_machine_or_the_students(kept: Kept) -> None:
    for delay in ("0.15", "0.3", "0.5"):
        kill = f"sleep {delay}; pkill -KILL -f caretake"
        killer = subprocess.Popen(["nsenter", "--target", str(kept.machine.leader), "--all", "sh", "-c", kill])
        kept.claim("s1")
        killer.wait(30)
        owner = kept.record()["student"]
        assert owner in ("pool-1", "s1")
        if owner == "pool-1":
            assert not (kept.root / "etc/jupyter/password").exists(), "nobody's machine has no password"
    assert kept.claim("s1") is None
    kept.serves()


def test_a_claim_makes_it_the_students_and_no_other_student_gets_it(kept: Kept) -> None:
    assert kept.claim("s1", hostname="demo-26j-s1") is None
    kept.serves()
    assert kept.machine.python(CELL.format(password=PASSWORD)) == "42"
    assert kept.ssh("student", "student", "hostname").stdout == "demo-26j-s1\n"
    pid = kept.machine.run("systemctl", "show", "--value", "--property=MainPID", "jupyter")
    record = kept.record()
    kind, said = kept.claim("s2", OTHER)
    assert (kind, "s1's machine" in said) == ("TakenError", True)
    assert kept.ask("claim(door, Claim('../s', 'x', ('y\\nz',)))")[0] == "InvalidInputError"
    assert kept.claim("s1") is None
    assert kept.machine.run("systemctl", "show", "--value", "--property=MainPID", "jupyter") == pid, "nothing changed"
    assert kept.record() == record


def test_what_computes_is_busy_though_nobody_looks(kept: Kept) -> None:
    kept.claim("s1")
    kept.serves()
    idle = kept.ask("activity(door)")
    assert (idle["kernels_busy"], idle["computing"]) == (0, False)
    into = ["nsenter", "--target", str(kept.machine.leader), "--net", sys.executable, "-c"]
    with subprocess.Popen([*into, BUSY.format(password=PASSWORD)], stderr=subprocess.DEVNULL) as browser:
        end, seen = time.monotonic() + 60, idle
        while not seen["kernels_busy"] and time.monotonic() < end:
            seen = kept.ask("activity(door)")
        browser.kill()  # as a laptop is closed: the kernel stays, and goes on
    seen = kept.ask("activity(door)")
    assert (seen["kernels_busy"], seen["computing"]) == (1, True)
    assert seen["last_activity"] > idle["last_activity"]


def test_another_password_ends_what_the_old_one_opened(kept: Kept) -> None:
    kept.claim("s1")
    into = ["nsenter", "--target", str(kept.machine.leader), "--net", *SSH, "-i", str(kept.folder / "student")]
    session = subprocess.Popen([*into, "student@127.0.0.1", "sleep", "300"], stderr=subprocess.DEVNULL)
    secret = (kept.root / "etc/jupyter/cookie-secret").read_text()
    hashed = json.loads((kept.folder / "hashes").read_text())[OTHER]
    assert kept.ask(f"set_password(door, {hashed!r})") is None
    assert session.wait(30) != 0
    assert (kept.root / "etc/jupyter/cookie-secret").read_text() != secret
    kept.serves(OTHER)
    assert kept.ask("activity(door)")["kernels"] == 0


def test_the_courses_folders_come_back_as_they_were(kept: Kept) -> None:
    kept.claim("s1")
    notebooks, archive = kept.root / "home/student/notebooks", kept.folder / "backup.tar.gz"
    prepare = (
        "cd ~/notebooks && mkdir -p 'a b/ü' && echo 1 >'a b/ü/x' && chmod 700 'a b/ü/x' && ln -sf /etc/shadow link"
    )
    assert kept.ssh("student", "student", prepare).returncode == 0
    before = listing(notebooks)
    assert kept.ask(f"backup(door, open({str(archive)!r}, 'wb'))") is None
    same = kept.ask(f"restore(door, open({str(archive)!r}, 'rb'))")
    assert same["kept"] == "", "nothing differed, and nothing was done"
    assert kept.ssh("student", "student", "echo 2 >'notebooks/a b/ü/x'; rm notebooks/link").returncode == 0
    changed = listing(notebooks)
    (kept.folder / "cut").write_bytes(archive.read_bytes()[:-40])
    assert kept.ask(f"restore(door, open({str(kept.folder / 'cut')!r}, 'rb'))")[0] == "InvalidInputError"
    assert listing(notebooks) == changed
    done = kept.ask(f"restore(door, open({str(archive)!r}, 'rb'))")
    assert listing(notebooks) == before
    assert listing(kept.root / "home/student" / done["kept"] / "notebooks") == changed
    assert not (kept.root / "home/student/.provision-restore").exists()


def listing(folder: Path) -> dict[str, tuple[object, ...]]:
    """Of all below a folder its kind and mode, owner, second of change, and content or link's target."""
    return {str(path.relative_to(folder)): entry(path) for path in sorted(folder.rglob("*"))}


def entry(path: Path) -> tuple[object, ...]:
    seen = path.lstat()
    content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    changed = None if path.is_symlink() else int(seen.st_mtime)
    return seen.st_mode, seen.st_uid, seen.st_gid, changed, content


def test_a_reset_gives_a_new_home_and_keeps_the_courses_folders(kept: Kept) -> None:
    kept.claim("s1")
    spoil = "echo false >.bashrc; mkdir -p .local/bin; touch .local/bin/python mine notebooks/kept; ln -s /etc .link"
    assert kept.ssh("student", "student", spoil).returncode in (0, 1)
    assert kept.ask("reset(door)") is None
    home = kept.root / "home/student"
    skeleton = {path.name: path.read_text() for path in (kept.root / "etc/skel").iterdir()}
    assert {path.name: path.read_text() for path in home.glob(".*") if path.is_file()} == skeleton
    assert not (home / ".local").exists()
    assert not (home / ".link").is_symlink()
    assert (home / "notebooks/kept").exists()
    assert list(home.glob("notebooks/before-reset-*/mine"))
    assert (kept.root / "etc/passwd").exists()
    kept.serves()
