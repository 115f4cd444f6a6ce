"""`provision cohort` as a person types it: what init writes is a cohort, what check prints is what it means."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from provision.core.cohort import Cohort
from provision.core.cohort_file import parse_cohort
from provision.core.toml_file import table_of
from provision.core.toml_schema import written
from tests.cli.test_bad_input import provision

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cohort.md").read_text()
EXAMPLE = PAGE.partition("```toml\n")[2].partition("```")[0]
ROSTER = "Student PI;First name;Family name;E-mail;Grade\ns1;Ada;Lovelace;ada@x.org;1\n"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = provision(tmp_path_factory.mktemp("schema"), "cohort", "schema")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_documentation_names_every_key_with_its_meaning() -> None:
    for name, field in Cohort.model_fields.items():
        table = table_of(field)
        assert table is not None
        for key, each in table.model_fields.items():
            default = "required" if each.is_required() else "" if each.default is None else f"`{written(each.default)}`"
            meaning = (each.description or "").replace("|", "\\|")
            assert f"| `[{name}]` | `{key}` | {default} | {meaning} |" in PAGE


def test_the_documentations_example_is_a_cohort_that_says_everything(schema: dict[str, Any]) -> None:
    said = parse_cohort(EXAMPLE, "docs/cohort.md")
    assert {name for name in Cohort.model_fields if name not in said.model_fields_set} == set()
    jsonschema.validate(json.loads(json.dumps(tomllib.loads(EXAMPLE), default=str)), schema)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [("cohort", "curse", "x"), ("network", "shape", "tree"), ("access", "web", "anywhere"), ("pool", "size", -1)],
)
def test_the_schema_refuses_what_we_refuse(table: str, key: str, value: object, schema: dict[str, Any]) -> None:
    said = json.loads(json.dumps(tomllib.loads(EXAMPLE), default=str))
    said[table][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, schema)


def test_what_init_writes_is_a_cohort_and_stays_as_it_is(tmp_path: Path) -> None:
    done = provision(tmp_path, "cohort", "init", "demo", "26J", "--os-cloud", "campus")
    place = tmp_path / "demo-26J" / "cohort.toml"
    assert (done.returncode, done.stdout) == (0, "demo-26J/cohort.toml\n")
    said = parse_cohort(place.read_text(), "cohort.toml")
    assert (said.cohort.course, said.cohort.presentation, said.cloud.name) == ("demo", "26J", "campus")
    assert [path.name for path in place.parent.iterdir()] == ["cohort.toml"]
    dry = provision(tmp_path, "cohort", "init", "demo", "26J", "--os-cloud", "campus", "--dry-run")
    assert dry.stdout == place.read_text()
    place.write_text("mine")
    again = provision(tmp_path, "cohort", "init", "demo", "26J")
    assert (again.returncode, again.stdout, place.read_text()) == (2, "", "mine")
    assert "is there already, and is left as it is" in again.stderr


def test_all_that_init_leaves_as_comments_can_be_switched_on(tmp_path: Path) -> None:
    text = provision(tmp_path, "cohort", "init", "demo", "26J", "--dry-run").stdout
    assert list(tmp_path.iterdir()) == []
    keys = tuple(f"# {key} = " for field in Cohort.model_fields.values() for key in table_keys(field))
    lines = [line.removeprefix("# ") if line.startswith(("# [", *keys)) else line for line in text.splitlines()]
    said = parse_cohort("\n".join(lines), "cohort.toml")
    for name in Cohort.model_fields:
        table = getattr(said, name)
        assert table.model_fields_set == set(type(table).model_fields)


def table_keys(field: Any) -> list[str]:
    table = table_of(field)
    return list(table.model_fields) if table else []


def test_check_says_what_it_means(tmp_path: Path) -> None:
    provision(tmp_path, "cohort", "init", "demo", "26J")
    folder = tmp_path / "demo-26J"
    columns = 'id = "student pi"\nname = "First name + Family name"\nemail = "E-Mail"\n'
    (folder / "cohort.toml").write_text((folder / "cohort.toml").read_text() + f"[columns]\n{columns}")
    (folder / "roster.csv").write_bytes(ROSTER.encode("utf-16"))
    table = provision(folder, "cohort", "check")
    assert table.returncode == 0, table.stderr
    for words in ("demo-26J: Demonstration course", "1 in roster.csv", "private", "handouts/demo-26J", "nobody"):
        assert words in table.stdout
    said = json.loads(provision(tmp_path, "cohort", "check", "demo-26J", "--format", "json").stdout)
    assert (said["name"], said["students"], said["network"]["shape"]) == ("demo-26J", 1, "private")
    assert provision(tmp_path, "cohort", "check", "nowhere").returncode == 5
