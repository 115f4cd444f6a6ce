"""`provision password reset`, `backup` and `restore`, from the command line to the machine's own programs.

The cloud is told by requests-mock; ssh is a program in the PATH that runs what the machine would run, on a folder here.
"""

import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests_mock as rm
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from provision.cli.caretaking import backup, password, restore
from provision.errors import InvalidInputError, NotFoundError, StudentsFailedError
from provision.paths import data_path
from provision.workflows.generations import Shelf, generations, keep, newest, newest_file, prune, unfinished
from provision.workflows.handouts import read_handouts, save_urls

from .test_repair import Cloud

FILE = '[cohort]\ncourse = "demo"\npresentation = "26J"\n[cloud]\nname = "campus"\n[access]\nssh = "0.0.0.0/0"\n'
SSH = """#!{python}
import json, sys
from pathlib import Path
sys.path.insert(0, {files!r})
from caretaking.packing import pack, unpack
alias = next(word for word in sys.argv if word.startswith("HostKeyAlias=")).partition("=")[2]
verb, home = sys.argv[-1], Path({homes!r}) / alias
if not home.exists():
    sys.exit(255)
elif verb == "backup":
    pack(str(home), ["notebooks"], sys.stdout.buffer)
    sys.stdout.flush()
    sys.exit(1 if (home / "dies").exists() else 0)
elif verb == "restore":
    (home / "staged").mkdir()
    manifest = unpack(sys.stdin.buffer, str(home / "staged"), ["notebooks"])
    print(json.dumps({{"files": len(manifest["files"]), "kept": "k"}}))
else:
    (home / verb).write_text(sys.stdin.read())
"""


class Class:
    """Ada's and Bob's machines, as folders; what is typed, and what comes of it."""

    def __init__(self, http: rm.Mocker, folder: Path) -> None:
        self.folder, self.handouts = folder, folder / "handouts/demo-26J"
        (folder / "cohort.toml").write_text(FILE)
        (folder / "roster.csv").write_text("id,name,email\nada,Ada,a@x.org\nbob,Bob,b@x.org\n")
        self.handouts.mkdir(parents=True)
        cloud = Cloud(http, self.handouts, "ada", "bob")
        self.homes = {student: folder / "homes" / cloud.stack(student)["id"] for student in ("ada", "bob")}
        for student, home in self.homes.items():
            (home / "notebooks").mkdir(parents=True)
            (home / "notebooks/work.ipynb").write_text(student)
        ssh = folder / "bin/ssh"
        ssh.parent.mkdir()
        files, homes = str(data_path("roles/caretaker/files")), str(folder / "homes")
        ssh.write_text(SSH.format(python=sys.executable, files=files, homes=homes))
        ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)

    def type(self, command: Any, *words: str) -> Result:
        return CliRunner().invoke(command, [words[0], str(self.folder), *words[1:]])

    def back_up(self, *words: str) -> tuple[Result, dict[str, Any]]:
        done = CliRunner().invoke(backup, [str(self.folder), *words, "--format", "json"])
        return done, {row["student"]: row for row in json.loads(done.stdout)}

    def made(self, student: str) -> list[Path]:
        return [each.file for each in generations(Shelf(self.folder / "backups/demo-26J", student))]


@pytest.fixture
def there(http: rm.Mocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Class:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Class(http, tmp_path)


def test_a_new_password_is_shown_once_and_in_handout_and_letter(there: Class) -> None:
    save_urls(there.handouts, {"ada": "http://192.0.2.1/", "bob": "http://192.0.2.2/"})
    (there.handouts / "letters").mkdir()
    (there.handouts / "letters/bob.txt").write_text("as it was")
    before = read_handouts(there.handouts)
    done = there.type(password, "reset", "ada")
    assert done.exit_code == 0, done.output
    after = read_handouts(there.handouts)
    assert done.stdout == after["ada"].password + "\n" != before["ada"].password + "\n"
    assert after["bob"] == before["bob"]
    sent = json.loads((there.homes["ada"] / "password").read_text())
    assert PasswordHasher().verify(sent["password_hash"].removeprefix("argon2:"), after["ada"].password)
    assert after["ada"].password in (there.handouts / "letters/ada.txt").read_text()
    assert (there.handouts / "letters/bob.txt").read_text() == "as it was"


def test_a_password_that_the_machine_did_not_take_is_not_handed_out(there: Class) -> None:
    before = (there.handouts / "handout.csv").read_text()
    there.homes["ada"].rename(there.folder / "gone")
    done = there.type(password, "reset", "ada")
    assert done.exception
    assert (there.handouts / "handout.csv").read_text() == before
    assert isinstance(there.type(password, "reset", "eve").exception, NotFoundError)


def test_everybodys_files_are_here_private_and_whole(there: Class) -> None:
    done, rows = there.back_up()
    assert done.exit_code == 0, done.output
    assert {student: (row["state"], row["files"]) for student, row in rows.items()} == {
        "ada": ("saved", 1),
        "bob": ("saved", 1),
    }
    (file,) = there.made("ada")
    assert str(file) == rows["ada"]["file"]
    assert [each.stat().st_mode & 0o777 for each in (file, file.parent.parent)] == [0o600, 0o700]
    restored = CliRunner().invoke(restore, [str(there.folder), "bob"])
    assert restored.output == f"1 files of {there.made('bob')[0]} are on bob's machine; what was there is in ~/k.\n"
    assert (there.homes["bob"] / "staged/notebooks/work.ipynb").read_text() == "bob"


def test_what_equals_the_last_takes_no_place_and_who_has_a_young_one_is_left_out(there: Class) -> None:
    assert there.back_up("ada")[1]["ada"]["state"] == "saved"
    assert there.back_up("ada")[1]["ada"]["state"] == "unchanged"
    assert len(there.made("ada")) == 1
    (there.homes["ada"] / "notebooks/work.ipynb").write_text("more")
    assert there.back_up("ada", "--max-age", "60")[1]["ada"]["state"] == "unchanged"
    assert len(there.made("ada")) == 1


def test_one_that_breaks_off_leaves_nothing_and_the_others_are_saved(there: Class) -> None:
    (there.homes["ada"] / "dies").touch()
    done, rows = there.back_up()
    assert isinstance(done.exception, StudentsFailedError)
    assert {student: row["state"] for student, row in rows.items()} == {"ada": "failed", "bob": "saved"}
    assert "ada: failed at backup" in str(done.exception)
    assert list((there.folder / "backups/demo-26J/ada").iterdir()) == []
    (there.homes["ada"] / "dies").unlink()
    assert there.back_up()[1]["ada"]["state"] == "saved"


def test_who_has_no_machine_or_no_backup_is_said(there: Class) -> None:
    assert isinstance(CliRunner().invoke(backup, [str(there.folder), "ada", "eve"]).exception, NotFoundError)
    assert isinstance(CliRunner().invoke(restore, [str(there.folder), "ada"]).exception, NotFoundError)
    (there.handouts / "caretaker").unlink()
    assert "no key of the caretaker" in str(there.back_up()[0].exception)


def test_a_file_that_is_damaged_here_never_reaches_the_machine(there: Class) -> None:
    there.back_up("ada")
    (file,) = there.made("ada")
    file.write_bytes(file.read_bytes()[:-20])
    assert isinstance(CliRunner().invoke(restore, [str(there.folder), "ada"]).exception, InvalidInputError)
    assert not (there.homes["ada"] / "staged").exists()


def test_the_newest_generations_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "all", "ada")
    with unfinished(shelf) as part:
        part.write_text("x")
        file = keep(shelf, part)
        with pytest.raises(FileExistsError):
            keep(shelf, part)  # another that ended in the same second takes no place
    (shelf.folder / ".part.999999999").write_text("left by a run that was killed")
    start = datetime.now(UTC)
    for day in range(1, 5):
        (shelf.folder / f"{(start - timedelta(days=day)).strftime('%Y%m%dT%H%M%SZ')}.tar.gz").touch()
    (shelf.folder / "mine.tar.gz").touch()
    assert len(generations(shelf)) == 5
    prune(shelf, 2)
    assert [each.file for each in generations(shelf)][-1] == newest_file(shelf) == file
    assert len(generations(shelf)) == 2
    with unfinished(shelf):
        pass
    assert sorted(path.name for path in shelf.folder.glob("*.part*")) == []
    assert (shelf.folder / "mine.tar.gz").exists()
    last = newest(shelf)
    assert last is not None
    assert last.made.tzinfo is UTC
