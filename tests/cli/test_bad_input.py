"""What a person gets wrong, typed for real: one clear message, the right exit code, and nothing done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COURSE = """\
[course]
name = "TM 351"
[box]
file = "/etc/passwd"
[machine]
vcpus = 0
memory_mb = "big"
disk_gb = 20
[user]
name = "root"
group = "students"
colour = "red"
"""
COHORT = """\
[cohort]
course = "demo"
presentation = "26J"
roster = "../roster.csv"
[cloud]
name = "down"
"""
ROSTER = "\ufeffid,name,email\nada,Ada,ada@example.org\nada,Ada Again,ada2@example.org\n,Nobody,x\n"
COHORTS = (
    ("class", "", ""),
    ("nocourse", '"demo"', '"nowhere"'),
    ("slash", '"26J"', '"26/J"'),
    ("noroster", "../roster.csv", "missing.csv"),
    ("doubles", "../roster.csv", "../doubles.csv"),
    ("columns", "../roster.csv", "../columns.csv"),
    ("badcourse", '"demo"', '"../bad/course.toml"'),
    ("nimbus", '"down"', '"nimbus"'),
    ("nocloud", 'name = "down"', ""),
    ("tenants", 'name = "down"', 'tenancy = "project for all"\n[acess]\nweb = "anywhere"'),
)
CLOUDS = """\
clouds:
  down:
    auth: {auth_url: 'http://127.0.0.1:9/v3', username: u, password: never-shown, project_name: p,
           user_domain_name: Default, project_domain_name: Default}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "course.toml").write_text(COURSE)
    for name, old, new in COHORTS:
        assert old in COHORT
        (tmp_path / name).mkdir()
        (tmp_path / name / "cohort.toml").write_text(COHORT.replace(old, new))
    (tmp_path / "roster.csv").write_text("id,name,email\nada,Ada,ada@example.org\n")
    (tmp_path / "doubles.csv").write_text(ROSTER)
    (tmp_path / "columns.csv").write_text("id,nom\nada,Ada\n")
    (tmp_path / "clouds.yaml").write_text(CLOUDS)
    (tmp_path / "not-a-disk.vmdk").write_bytes(b"hello" * 1000)
    return tmp_path


def provision(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {"XDG_CACHE_HOME": str(folder.parent / "cache"), "PROVISION_LAB_HOME": str(folder / "lab")}
    command = [str(Path(sys.executable).with_name("provision")), *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("cohort plan nowhere", 5, ["no cohort 'nowhere'", "provision cohort init"]),
        ("cohort plan bad", 5, ["no file bad/cohort.toml"]),
        ("cohort plan nocourse", 5, ["no course 'nowhere'", "demo"]),
        ("cohort plan slash", 2, ["line 3: cohort.presentation: must be", "'26/J'"]),
        ("cohort plan noroster", 5, ["noroster/missing.csv cannot be read"]),
        (
            "cohort plan doubles",
            2,
            ["line 3: id 'ada' is already on line 2", "line 4: id is empty", "email 'x' is not an address"],
        ),
        (
            "cohort plan columns/cohort.toml",
            2,
            ["'name' is missing", "'email' is missing", "'nom' is not known", "id,name,email", "[columns]"],
        ),
        (
            "cohort plan badcourse",
            2,
            [
                "line 2: course.name",
                "line 4: box.file",
                "line 6: machine.vcpus",
                "line 7: machine.memory_mb",
                "line 10: user.name",
                "line 12: user.colour: is not a key",
            ],
        ),
        (
            "cohort check tenants",
            2,
            ["line 6: cloud.tenancy: should be 'one project' or", "line 7: acess: "],
        ),
        ("cohort check", 5, ["no file cohort.toml"]),
        ("cohort init demo 26-J", 2, ["cohort.presentation: must be 1 to 16 letters and digits"]),
        ("cohort plan nimbus", 5, ["nimbus", "down"]),
        ("cohort plan class --os-cloud nimbus", 5, ["nimbus", "down"]),
        ("cohort plan nocloud", 2, ["down"]),
        ("cohort plan class", 1, ["127.0.0.1:9"]),
        ("cohort preflight class", 1, ["127.0.0.1:9"]),
        ("cohort preflight noroster", 5, ["noroster/missing.csv cannot be read"]),
        ("cohort status class", 1, ["127.0.0.1:9"]),
        ("cohort delete class --yes", 1, ["127.0.0.1:9"]),
        ("ssh class ada", 1, ["127.0.0.1:9"]),
        ("cohort launch", 2, ["Missing argument 'COHORT'"]),
        ("image convert nothing.box out.qcow2", 2, ["no file nothing.box"]),
        ("image convert not-a-disk.vmdk out.qcow2", 2, ["no disk that we know"]),
        ("image convert a b --format raw --reencode zlib", 2, ["--format raw makes none"]),
        ("image convert a b --format raw --no-compress", 2, ["--format raw makes none"]),
        ("image shrink a b --format raw --no-compress", 2, ["--format raw makes none"]),
        ("image convert a b --no-compress --reencode zlib", 2, ["give one of them"]),
        ("image convert a b --headroom 9", 2, ["--shrink is not given"]),
        ("image convert a b --no-verify --reencode zstd", 2, ["is about what is wrapped"]),
        ("image convert a b --no-verify --shrink", 2, ["is about what is wrapped"]),
        ("image convert a b --shrink --headroom 9 --no-compress", 2, ["There is no file a"]),
        ("image shrink a b --headroom 9 --no-compress", 2, ["There is no file a"]),
        ("image upload a b --disk-format raw --reencode zlib --os-cloud down", 2, ["sends none"]),
        ("image publish demo 26J --os-cloud down", 1, ["127.0.0.1:9"]),
        ("lab status", 5, ["not running", "provision lab up"]),
        ("lab env", 5, ["no lab"]),
        ("lab up --release yoga", 2, ["yoga", "zed"]),
        ("lab destroy --yes", 5, ["no lab"]),
    ],
)
def test_it_is_said_clearly(folder: Path, words: str, code: int, said: list[str]) -> None:
    before = sorted(folder.rglob("*"))
    done = provision(folder, *words.split())
    assert done.returncode == code, done.stderr
    for part in said:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert "never-shown" not in done.stderr + done.stdout
    assert done.stdout == ""
    assert sorted(folder.rglob("*")) == before


IMAGE = "inspect shrink convert upload build verify publish list show diff promote rollback share accept prune"
COHORT_VERBS = "init check schema preflight plan launch status report repair suspend resume extend delete gc"


def test_help_is_there_for_every_command(folder: Path) -> None:
    nouns = {"lab": "up status env logs exec down reset destroy", "image": IMAGE}
    nouns |= {"cohort": COHORT_VERBS, "ssh": "", "demo": ""}
    for noun, verbs in nouns.items():
        for verb in ["", *verbs.split()]:
            done = provision(folder, noun, *([verb] if verb else []), "--help")
            assert done.returncode == 0
            assert "Usage: provision" in done.stdout
