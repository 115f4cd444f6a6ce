"""The JSON Schemas of course.toml and cohort.toml: one each, every key explained, the copies in docs/ current."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.test_bad_input import provision

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["course", "cohort"])
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    done = provision(tmp_path_factory.mktemp("schema"), request.param, "schema")
    return request.param, json.loads(done.stdout)


def test_the_schema_is_one_and_explains_every_key(named: tuple[str, dict[str, Any]]) -> None:
    _, schema = named
    jsonschema.Draft202012Validator.check_schema(schema)
    for table in (schema, *schema["$defs"].values()):
        assert table["additionalProperties"] is False
        for key, each in table["properties"].items():
            assert each.get("title") or "$ref" in each, key
            assert "null" not in json.dumps(each)
            assert each.get("description") or "$ref" in json.dumps(each), key


def test_the_copy_in_the_documentation_is_current(named: tuple[str, dict[str, Any]]) -> None:
    """Otherwise: provision NOUN schema >docs/reference/NOUN.schema.json."""
    noun, schema = named
    assert json.loads((ROOT / "docs" / "reference" / f"{noun}.schema.json").read_text()) == schema
