"""`provision course` as a person types it: what init writes is a course, what check prints is what it means."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from provision.core.course import Course
from provision.core.toml_file import table_of
from provision.core.toml_schema import written
from tests.cli.test_bad_input import provision

ROOT = Path(__file__).resolve().parents[2]
TITLES = ("Data", 'Quotes " and \\ and #', "[table]\u2028", "naïve 数据 🎓", "''' \"\"\"", "x" * 200, "\u007f")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = provision(tmp_path_factory.mktemp("schema"), "course", "schema")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_documentation_names_every_key_with_its_meaning() -> None:
    page = (ROOT / "docs" / "course.md").read_text()
    for name, field in Course.model_fields.items():
        table = table_of(field)
        assert table is not None
        for key, each in table.model_fields.items():
            default = "required" if each.is_required() else "" if each.default is None else f"`{written(each.default)}`"
            assert f"| `[{name}]` | `{key}` | {default} | {each.description} |" in page


@pytest.mark.parametrize("place", sorted((ROOT / "images").glob("*/course.toml")), ids=lambda place: place.parent.name)
def test_our_courses_keep_to_the_schema(place: Path, schema: dict[str, Any]) -> None:
    jsonschema.validate(tomllib.loads(place.read_text()), schema)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [("course", "titel", "x"), ("machine", "vcpus", 0), ("user", "name", "root"), ("public", "tls", "yes")],
)
def test_the_schema_refuses_what_we_refuse(table: str, key: str, value: object, schema: dict[str, Any]) -> None:
    course = tomllib.loads((ROOT / "images" / "demo" / "course.toml").read_text())
    course[table][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(course, schema)


@pytest.mark.parametrize("title", TITLES)
def test_what_init_writes_is_a_course(title: str, tmp_path: Path, schema: dict[str, Any]) -> None:
    done = provision(tmp_path, "course", "init", "tm351", "--title", title)
    if not title.isprintable():
        assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
        assert "course.title: must be one line of text" in done.stderr
        return
    assert (done.returncode, done.stdout) == (0, "tm351/course.toml\n")
    said = tomllib.loads((tmp_path / "tm351" / "course.toml").read_text())
    jsonschema.validate(said, schema)
    assert said["course"] == {"name": "tm351", "title": title}
    assert [path.name for path in (tmp_path / "tm351").iterdir()] == ["course.toml"]
    checked = provision(tmp_path, "course", "check", "tm351/course.toml", "--format", "json")
    assert json.loads(checked.stdout)["course"]["title"] == title


def test_all_that_init_leaves_as_comments_can_be_switched_on(tmp_path: Path) -> None:
    text = provision(tmp_path, "course", "init", "tm351", "--dry-run").stdout
    assert list(tmp_path.iterdir()) == []
    words = (
        "# [",
        "# name =",
        "# memory_mb =",
        "# databases =",
        "# title =",
        "# port =",
        "# command =",
        "# data =",
        "# proxy =",
    )
    lines = [line.removeprefix("# ") if line.startswith(words) else line for line in text.splitlines()]
    # One key makes no sense with the example of another.
    (tmp_path / "course.toml").write_text("\n".join(lines).replace('tls = "none"', 'tls = "own"'))
    done = provision(tmp_path, "course", "check")
    assert done.returncode == 0, done.stderr
    for words_ in (
        "/docs/",
        "127.0.0.1:8000",
        "/nbdime/",
        "/openrefine/",
        "/srv/course-data",
        "HTTPS on port 443",
        "proxy.ex",
    ):
        assert words_ in done.stdout


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "images" / "tm351").mkdir(parents=True)
    place = tmp_path / "images" / "tm351" / "course.toml"
    place.write_text("mine")
    done = provision(tmp_path, "course", "init", "tm351")
    assert (done.returncode, done.stdout, place.read_text()) == (2, "", "mine")
    assert "is there already, and is left as it is" in done.stderr


@pytest.mark.parametrize("name", ["../x", "TM-351", "/etc/x", ""])
def test_a_name_that_is_none_writes_nothing(name: str, tmp_path: Path) -> None:
    done = provision(tmp_path, "course", "init", name)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "course.name: must be 1 to 32 small letters" in done.stderr


def test_check_reports_and_a_file_that_is_nowhere_is_said(tmp_path: Path) -> None:
    (tmp_path / "course.toml").write_text("[course]\nname = 1\n")
    done = provision(tmp_path, "course", "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 2: course.name: should be text in quotes" in done.stderr
    assert provision(tmp_path, "course", "check", "nowhere").returncode == 5
