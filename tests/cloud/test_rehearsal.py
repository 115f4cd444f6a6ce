"""The evening before: what is read of a cloud, the stack that tries a credential, and the canary machine."""

import json
import re
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock as rm
import yaml
from click.testing import CliRunner, Result
from openstack.connection import Connection

from provision.cli.app import cli
from provision.cloud.connection import connect
from provision.core.findings import OK, REFUSAL, UNKNOWN, WARNING, Finding
from provision.errors import PreflightError
from provision.progress import Silent
from provision.workflows.cohort import launch, plan
from provision.workflows.orders import Choice
from provision.workflows.rehearsal import preflight

from .conftest import GLANCE, HEAT, KEYSTONE, NEUTRON, NOVA
from .test_launch import COMPLETE, GOING, Heat, nothing_left, order
from .test_preflight import IMAGE, NETWORKS, SUBNETS, cloud_has

REFUSED = {"error": {"message": "Internal Server Error", "code": 500}}
CLOCKS = (NOVA, f"{NOVA}/", f"{GLANCE}/v2", f"{GLANCE}/v2/")  # where Nova and Glance are asked for the time
NO: Any = {"status_code": 403, "json": {"error": {"message": "Policy doesn't allow it to be performed."}}}


def ask(
    cloud: Connection, *students: str, canary: bool = False, deadline: float = 7, **choice: Any
) -> dict[tuple[str, str], Finding]:
    wanted = replace(order(*students), choice=Choice(**choice))
    found = preflight(cloud, wanted, canary=canary, deadline=deadline, progress=Silent())
    return {(finding.name, finding.about): finding for finding in found}


def not_ok(found: dict[tuple[str, str], Finding]) -> dict[tuple[str, str], str]:
    return {key: finding.severity for key, finding in found.items() if finding.severity != OK}


@pytest.fixture
def delegated(http: rm.Mocker, tmp_path: Path) -> Connection:
    """The same cloud, signed in to with an application credential."""
    clouds = tmp_path / "clouds.yaml"
    credential = "application_credential_id: a1, application_credential_secret: s"
    clouds.write_text(
        f"clouds:\n  campus:\n    auth_type: v3applicationcredential\n    region_name: one\n"
        f"    auth: {{auth_url: '{KEYSTONE}', {credential}}}\n"
    )
    return connect("campus")


def test_a_cloud_that_has_all(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, addresses=(200, 3))
    heat = Heat(http)
    found = ask(cloud, "a")
    assert {key: finding.severity for key, finding in found.items() if finding.severity != OK} == {
        ("canary", ""): UNKNOWN
    }
    assert "faculty in project faculty (heat_stack_owner, member), by password" in found["credential", ""].meaning
    assert found["quota", "routers"].meaning == "routers: 1 needed, 1 free (9 of 10 used)"
    assert "2 public addresses" in found["addresses", ""].meaning
    made, deleted = heat.asked()
    assert made.startswith("POST provision-probe-")
    assert deleted == made.replace("POST", "DELETE")
    (body,) = [call.json() for call in http.request_history if call.method == "POST" and "/stacks" in call.url]
    assert (body["tags"], body["parameters"]) == ("provision=probe,student=probe", {})
    assert set(yaml.safe_load(body["template"])["resources"]) == {"word"}


def test_what_is_wrong_is_found_all_at_once(cloud: Connection, http: rm.Mocker) -> None:
    network = {**NETWORKS[0], "mtu": 1400}
    wide = {**SUBNETS[0], "cidr": "10.0.0.0/8", "gateway_ip": None}
    ours = {**SUBNETS[0], "network_id": "net2", "cidr": "10.20.0.0/24", "tags": ["provision=other-26J"]}
    shared = {**IMAGE, "visibility": "shared", "owner": "project2"}
    cloud_has(http, networks=[network], subnets=[wide, ours], addresses=(9, 8), skew=90)
    http.get(f"{GLANCE}/v2/images", json={"images": [shared]})
    http.get(f"{GLANCE}/v2/images/image1/members/project1", json={"status": "pending"})
    Heat(http)
    found = ask(cloud, "a", "b", flavor="m1.tiny", canary=True)
    assert not_ok(found) == {
        ("clock", ""): WARNING,
        ("image", ""): WARNING,
        ("flavor", ""): REFUSAL,
        ("external_network", ""): WARNING,
        ("addresses", ""): REFUSAL,
        ("overlap", "public-subnet"): REFUSAL,
        ("mtu", "public"): WARNING,
        ("quota", "instances"): REFUSAL,
        ("quota", "routers"): REFUSAL,
        ("canary", ""): UNKNOWN,
    }
    assert re.search(r" 9\d s ahead of", found["clock", ""].meaning)
    assert "flavor disk 5 GiB < image min_disk 8 GiB" in found["flavor", ""].meaning
    assert "--flavor m1.small" in found["flavor", ""].fix
    assert "4 public addresses" in found["addresses", ""].meaning
    assert "openstack quota set --routers 11 project1" in found["quota", "routers"].fix
    assert found["canary", ""].meaning == "Not known, because of what is refused: flavor, overlap."
    with pytest.raises(PreflightError) as caught:
        plan(cloud, replace(order("a", "b"), choice=Choice(flavor="m1.tiny")))
    for finding in found.values():
        assert (finding.meaning in caught.value.message) == (finding.severity == REFUSAL)


def test_what_a_cloud_does_not_show_refuses_nothing(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, networks=[{"id": "net1", "name": "public", "router:external": True}])
    Heat(http)
    for url in (f"{NOVA}/limits", f"{NEUTRON}/v2.0/quotas/project1/details", f"{NEUTRON}/v2.0/subnets"):
        http.get(url, **NO)
    for url in (KEYSTONE, *CLOCKS):
        http.get(url, json={})  # without a date
    found = ask(cloud, "a")
    assert not_ok(found) == {
        ("clock", ""): UNKNOWN,
        ("addresses", ""): UNKNOWN,
        ("overlap", ""): UNKNOWN,
        ("mtu", "public"): UNKNOWN,
        ("quota", "machines"): UNKNOWN,
        ("quota", "networks"): UNKNOWN,
        ("canary", ""): UNKNOWN,
    }
    assert "role does not allow this" in found["quota", "machines"].meaning
    assert plan(cloud, order("a")).ground.warnings == ()


@pytest.mark.parametrize("service", [NOVA, GLANCE], ids=["Nova", "Glance"])
def test_where_keystone_tells_no_time_another_service_does(cloud: Connection, http: rm.Mocker, service: str) -> None:
    cloud_has(http)
    Heat(http)
    http.get(KEYSTONE, json={})
    for url in CLOCKS:
        date = {"Date": formatdate(time.time() - 90, usegmt=True)} if url.startswith(service) else {}
        http.get(url, headers=date, status_code=401)
    assert re.search(r" (89|9\d) s ahead of", ask(cloud, "a")["clock", ""].meaning)


def test_what_an_operator_told_of_stacks_is_what_counts(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http)
    heat = Heat(http)
    heat.add("probe", GOING, "provision=probe,student=probe", "provision-probe-0")  # of somebody who asks just now
    assert "1 more stacks, 0 are there" in ask(cloud, "a", stack_limit=1)["stacks", ""].meaning
    heat.add("b", COMPLETE)
    assert ask(cloud, "a", stack_limit=2)["stacks", ""].severity == OK
    assert ask(cloud, "a", stack_limit=1)["stacks", ""].severity == REFUSAL


def test_a_service_that_does_not_answer_is_a_refusal(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http)
    Heat(http)
    http.get(f"{NOVA}/limits", status_code=500, json={})
    http.get(f"{NOVA}/flavors/detail", exc=requests.ConnectionError("refused"))
    found = ask(cloud, "a")
    assert {name for (name, _), severity in not_ok(found).items() if severity == REFUSAL} == {"flavor"}
    http.get(f"{NEUTRON}/v2.0/subnets", status_code=500, json={})
    assert not_ok(ask(cloud, "a"))["overlap", ""] == REFUSAL


def test_a_network_that_is_not_external_is_said_to_be_none(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, networks=[])
    http.get(f"{NEUTRON}/v2.0/networks?name=inner", json={"networks": [{"id": "net3", "name": "inner"}]})
    Heat(http)
    found = ask(cloud, "a", network="inner")["external_network", ""]
    assert (found.severity, "inner is not external" in found.fix) == (REFUSAL, True)


def test_heat_refuses_an_application_credential(delegated: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http)
    http.post(f"{HEAT}/stacks", json=REFUSED, status_code=500, headers={"Content-Type": "application/json"})
    found = ask(delegated, "a")["credential", ""]
    assert (found.severity, "by application credential" in found.meaning) == (REFUSAL, True)
    assert "service user with a password" in found.fix
    # A launch finds out before it makes anything; a plan makes nothing to find out.
    with pytest.raises(PreflightError, match="Keystone trust"):
        launch(delegated, order("a"), folder=tmp_path / "handouts", deadline=7, progress=Silent())
    assert not (tmp_path / "handouts").exists()
    posts = len(heat.asked())
    (warning,) = plan(delegated, order("a")).ground.warnings
    assert (warning.name, len(heat.asked())) == ("credential", posts)


def test_a_stack_of_nothing_that_fails_is_told_with_its_reason(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http)
    heat = Heat(http, fate={"probe": "CREATE_FAILED"})
    heat.add("probe", COMPLETE, "provision=probe,student=probe", "provision-probe-old")
    heat.stacks["provision-probe-old/id1"]["creation_time"] = "2026-11-22T09:00:00Z"
    heat.add("probe", COMPLETE, "provision=probe,student=probe", "provision-probe-of-another")
    found = ask(cloud, "a")["credential", ""]
    assert (found.severity, "CREATE_FAILED: " in found.meaning) == (REFUSAL, True)
    made, *deleted = heat.asked()
    assert sorted(deleted) == sorted(["DELETE provision-probe-old", made.replace("POST", "DELETE")])


def test_a_canary_is_launched_as_a_students_machine_and_removed(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, routers=20)
    nothing_left(http)
    http.get(f"{NEUTRON}/v2.0/networks?router:external=True", json={"networks": NETWORKS})
    http.get(f"{GLANCE}/v2/images/image1", json={**IMAGE, "virtual_size": 2**33})
    heat = Heat(http, fate={"canary": "CREATE_FAILED", "delete": "DELETE_COMPLETE"})
    heat.add("canary", COMPLETE, "provision=canary.demo-26J,student=canary", "canary.demo-26J-canary")
    heat.add("a", GOING)
    found = ask(cloud, "a", canary=True)
    canary = found["canary", ""]
    assert (canary.severity, "failed at server: No compute node has room" in canary.meaning) == (REFUSAL, True)
    # The numbers rule the image out.
    assert "fits the flavor m1.small (1 vCPU, 1024 MiB, 20 GiB)" in canary.meaning
    name = "canary.demo-26J-canary"
    assert heat.asked()[2:] == [f"DELETE {name.lower()}", f"POST {name}", f"DELETE {name.lower()}"]
    body = [call.json() for call in http.request_history if call.method == "POST" and "/stacks" in call.url][-1]
    assert body["tags"] == "provision=canary.demo-26J,student=canary"
    assert (body["parameters"]["image"], body["parameters"]["flavor"]) == ("image1", "id-m1.small")
    assert [stack["stack_name"] for stack in heat.there()] == ["demo-26J-a"]


def test_a_canary_that_stays_is_told(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http)
    nothing_left(http, routers=1)
    http.get(f"{NEUTRON}/v2.0/networks?router:external=True", json={"networks": NETWORKS})
    Heat(http)
    found = ask(cloud, canary=True)
    assert found["canary", ""].severity == REFUSAL  # what an earlier one has left cannot be removed
    assert "these are left:\n  router r" in found["canary", ""].meaning


def typed(folder: Path, *words: str) -> Result:
    file = '[cohort]\ncourse = "demo"\npresentation = "26J"\n[cloud]\nname = "campus"\n'
    (folder / "cohort.toml").write_text(file)
    (folder / "roster.csv").write_text("id,name,email\na,Ada,ada@x.org\nb,Bo,bo@x.org\n")
    return CliRunner().invoke(cli, ["cohort", "preflight", str(folder), "--no-canary", "--progress", "none", *words])


def test_the_command_prints_what_it_finds_and_refuses_with_code_3(http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    Heat(http)
    done = typed(tmp_path, "--format", "json")
    assert isinstance(done.exception, PreflightError)  # cli.main ends with its exit code, 3
    found = json.loads(done.stdout)
    refused = [each for each in found if each["severity"] == REFUSAL]
    assert done.exception.message == f"2 of {len(found)} checks refuse a launch."
    assert [each["about"] for each in refused] == ["instances", "routers"]
    assert refused[0]["fix"] == "Ask the operator for: openstack quota set --instances 11 project1"
    assert set(found[0]) == {"name", "about", "severity", "meaning", "fix"}


def test_the_table_says_below_what_it_means_what_to_do(http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http, routers=100)
    Heat(http)
    http.get(f"{NOVA}/limits", json={"limits": {"absolute": {}, "rate": []}})
    done = typed(tmp_path, "--external-network", "net1")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["check", "state", "what", "it", "means,", "and", "what", "to", "do"]
    assert any(re.match(r"quota routers +ok +routers: 2 needed, 91 free", line) for line in lines)
    assert len(lines) < 40  # a screen
    assert re.search(r"\d+ not known, \d+ ok", done.stderr)
