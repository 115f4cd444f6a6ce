"""`provision cohort gc`: what bears the tag and is no stack's goes, in order; what a stack made stays."""

import re
from pathlib import Path
from typing import Any

import pytest
import requests_mock as rm
from click.testing import CliRunner, Result

from provision.cli.cohort import cohort
from provision.errors import PreflightError

from .conftest import HEAT, NEUTRON, lock_is_free
from .nova import Nova
from .test_launch import COMPLETE, GOING, Heat

KINDS = ("floatingips", "ports", "routers", "subnets", "networks", "security-groups")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud that is asked every moment."""
    monkeypatch.setattr("provision.workflows.leftovers.POLL", 0.05)


def gc(folder: Path, *words: str, typed: str = "") -> Result:
    (folder / "cohort.toml").write_text('[cohort]\ncourse = "demo"\npresentation = "26J"\n[cloud]\nname = "campus"\n')
    return CliRunner().invoke(cohort, ["gc", str(folder), *words], input=typed)


def cloud_with(http: rm.Mocker, *, refused: str = "") -> tuple[Heat, Nova]:
    """One of each kind that is left, and one of each that the stack of ada has."""
    heat, nova = Heat(http), Nova(http)
    nova.add("ada", "ACTIVE")
    nova.add("orphan", "ERROR")

    def listing(kind: str) -> Any:
        def answer(request: Any, _context: Any) -> Any:
            if "device_id" in request.qs:
                return {"ports": [{"id": "interface"}]}
            return {
                kind.replace("-", "_"): [{"id": f"{kind}-ada", "name": "mine"}, {"id": f"{kind}-left", "name": "x"}]
            }

        return answer

    for kind in KINDS:
        http.get(f"{NEUTRON}/v2.0/{kind}", json=listing(kind))
        status = 409 if kind == refused else 204
        http.delete(re.compile(f"{NEUTRON}/v2.0/{kind}/"), status_code=status)

    def delete_port(_request: Any, context: Any) -> None:
        context.status_code = 409 if "s-orphan" in nova.servers else 204  # a server that is there holds on to it

    http.delete(re.compile(f"{NEUTRON}/v2.0/ports/"), json=delete_port)
    http.put(re.compile(f"{NEUTRON}/v2.0/routers/[^/]+/remove_router_interface"), json={})
    held = [{"physical_resource_id": id_} for id_ in ("s-ada", None, *(f"{kind}-ada" for kind in KINDS))]
    http.get(re.compile(rf"{HEAT}/stacks/[^/]+/[^/]+/resources"), json={"resources": held})
    lock_is_free(http)
    return heat, nova


def changed(http: rm.Mocker) -> list[str]:
    calls = [call for call in http.request_history if call.method in ("DELETE", "PUT")]
    paths = [call.path.rpartition("/")[2] for call in calls]
    return [path for path in paths if path not in ("lock", "locks")]


LEFT = [
    "floatingips-left",
    "s-orphan",
    "ports-left",
    "remove_router_interface",
    "routers-left",
    "subnets-left",
    "networks-left",
    "security-groups-left",
]


def test_what_is_no_stacks_goes_in_order(http: rm.Mocker, tmp_path: Path) -> None:
    heat, _ = cloud_with(http)
    heat.add("ada", COMPLETE)
    no = gc(tmp_path, typed="n\n")
    assert (no.exit_code != 0, changed(http)) == (True, [])
    done = gc(tmp_path, "--yes")
    assert (done.exit_code, done.stdout) == (0, "7 deleted.\n"), done.stderr
    assert changed(http) == LEFT
    assert "ada" not in done.stderr


def test_a_stack_without_tags_keeps_what_it_made(http: rm.Mocker, tmp_path: Path) -> None:
    heat, _ = cloud_with(http)
    heat.add("", COMPLETE, "by=hand", "mine")
    assert gc(tmp_path, "--yes").exit_code == 0
    assert changed(http) == LEFT


def test_nothing_is_deleted_while_heat_is_at_work(http: rm.Mocker, tmp_path: Path) -> None:
    heat, _ = cloud_with(http)
    heat.add("ada", GOING)
    refused = gc(tmp_path, "--yes")
    assert isinstance(refused.exception, PreflightError)
    assert "demo-26J-ada: CREATE_IN_PROGRESS" in str(refused.exception)
    assert changed(http) == []


def test_what_cannot_be_deleted_is_named_and_the_rest_goes(http: rm.Mocker, tmp_path: Path) -> None:
    heat, _ = cloud_with(http, refused="networks")
    heat.add("ada", COMPLETE)
    done = gc(tmp_path, "--yes")
    assert "1 of 7 things are not deleted:\n  network x: " in str(done.exception)
    assert changed(http) == LEFT


def test_nothing_is_left(http: rm.Mocker, tmp_path: Path) -> None:
    Heat(http)
    for kind in KINDS:
        http.get(f"{NEUTRON}/v2.0/{kind}", json={kind.replace("-", "_"): []})
    done = gc(tmp_path)
    assert (done.exit_code, done.stdout) == (0, "Nothing bears the tag of demo-26J without a stack.\n")
