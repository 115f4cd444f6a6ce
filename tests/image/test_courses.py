"""The courses that come with the toolkit: what students and `image build` get from their folders can be used."""

import csv
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

IMAGES = Path(__file__).resolve().parents[2] / "images"
NOTEBOOKS = sorted(IMAGES.glob("*/notebooks/*.ipynb"))
SCRIPTS = sorted([*IMAGES.glob("*/build-box"), *IMAGES.glob("box-parts/*.sh")])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_valid_and_has_no_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    nbformat.validate(content)
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_script_is_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize(("table", "file"), [("branch", "branches.csv"), ("loan", "loans.csv")])
def test_the_tables_have_the_files_columns(table: str, file: str) -> None:
    """psql checks it too, but only once a box is made: minutes later."""
    sql = (IMAGES / "tm351/database/tm351.sql").read_text()
    created = re.search(rf"^CREATE TABLE {table} \(\n(.*?)^\);", sql, re.MULTILINE | re.DOTALL)
    with (IMAGES / "tm351/notebooks/data" / file).open(newline="") as stream:
        header = next(csv.reader(stream))
    assert created
    assert re.findall(r"^    ([a-z]\w*) ", created[1], re.MULTILINE) == header
