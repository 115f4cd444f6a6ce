"""heat/student.yaml: sound by itself, and what the code sends and reads. In the lab tier a real Heat judges it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.core.capacity import PER_STUDENT
from provision.core.course_file import parse_course
from provision.core.naming import cohort_tag
from provision.core.roster import Student
from provision.guests.credentials import jupyter_hash
from provision.paths import data_path
from provision.workflows.handouts import ensure_handouts
from provision.workflows.launch import Job, stack_parameters
from provision.workflows.machine import Reach
from provision.workflows.orders import Order

TEMPLATES = sorted(data_path("heat").glob("*.yaml"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
NASTY = 'x"\n- {path: /etc/passwd}\nCONFIG STUDENT $config {{ jinja }} \\u0000 café'


@pytest.fixture
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(data_path("heat/student.yaml").read_text())
    return loaded


def uses(node: Any, function: str) -> set[str]:
    """The names that `function` (get_param, get_resource) is called with anywhere below `node`."""
    if isinstance(node, list):
        return set().union(*(uses(each, function) for each in node))
    if isinstance(node, dict):
        own = {node[function]} if isinstance(node.get(function), str) else set()
        return own.union(*(uses(each, function) for each in node.values()))
    return set()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_template_is_described_constrained_and_whole(path: Path) -> None:
    whole = yaml.safe_load(path.read_text())
    assert str(whole["heat_template_version"]) == "2018-08-31"
    for name, parameter in whole["parameters"].items():
        assert parameter["description"], name
        assert parameter["constraints"], name
    for name, output in whole["outputs"].items():
        assert output["description"], name
    body = [whole["resources"], whole["outputs"]]
    assert uses(body, "get_param") == set(whole["parameters"])
    assert uses(body, "get_resource") <= set(whole["resources"])


def test_the_code_sends_what_the_template_takes(template: dict[str, Any], tmp_path: Path) -> None:
    course = parse_course(
        '[course]\nname="demo"\ntitle="D"\n[box]\nfile="x"\n[machine]\nvcpus=1\nmemory_mb=512\ndisk_gb=5\n'
        '[user]\nname="student"\ngroup="student"\n[public]\ntls="none"\n',
        "course.toml",
    )
    student = Student("s001", "Ada Lovelace", "ada@example.org", (KEY,))
    reach = Reach(tmp_path, ensure_handouts(tmp_path, [student], "student", "http"), 1)
    ground: Any = type("Ground", (), {"image": Any, "flavor": Any, "network_id": "net1"})
    ground.image, ground.flavor = type("I", (), {"id": "image1"}), type("F", (), {"id": "flavor1"})
    job = Job(Any, Order(course, "demo-26J", "26J", (student,)), ground, "", reach)  # type: ignore[arg-type]  # no cloud is asked
    sent = stack_parameters(job, student, reach.handouts["s001"])
    optional = {name for name, parameter in template["parameters"].items() if "default" in parameter}
    assert set(template["parameters"]) - optional <= set(sent) <= set(template["parameters"])
    text = json.dumps(sent)
    for secret in (reach.handouts["s001"].password, "Ada", "example.org", "PRIVATE"):
        assert secret not in text
    assert sent["ssh_keys"].startswith(KEY + ",ssh-ed25519 ")


def test_what_the_code_reads_is_there(template: dict[str, Any]) -> None:
    assert "address" in template["outputs"]


def test_a_student_takes_what_the_quota_arithmetic_says(template: dict[str, Any]) -> None:
    kinds = {
        "Server": "instances",
        "Net": "networks",
        "Subnet": "subnets",
        "Router": "routers",
        "SecurityGroup": "security groups",
        "FloatingIP": "floating IPs",
    }
    made = [resource["type"].rpartition("::")[2] for resource in template["resources"].values()]
    assert {name: made.count(kind) for kind, name in kinds.items()} == {
        name: PER_STUDENT[name] for name in kinds.values()
    }
    rules = template["resources"]["security_group"]["properties"]["rules"]
    assert len(rules) + 2 == PER_STUDENT["security group rules"]


def test_only_ssh_the_web_and_icmp_come_in(template: dict[str, Any]) -> None:
    rules = template["resources"]["security_group"]["properties"]["rules"]
    assert [(rule["protocol"], rule.get("port_range_min"), rule.get("port_range_max")) for rule in rules] == [
        ("tcp", 22, 22),
        ("tcp", 80, 80),
        ("tcp", 443, 443),
        ("icmp", None, None),
    ]


def test_everything_made_can_be_found_again(template: dict[str, Any]) -> None:
    unmarked = [
        name
        for name, resource in template["resources"].items()
        if "tag" not in uses(resource["properties"], "get_param") and resource["type"] != "OS::Neutron::RouterInterface"
    ]
    assert unmarked == []
    assert len(cohort_tag("a" * 32 + "-" + "b" * 16)) <= 60


def heat(node: Any, parameters: dict[str, Any]) -> Any:
    """What Heat makes of get_param and str_replace since 2016-10-14 (heat.engine.hot.functions.ReplaceJson)."""
    if isinstance(node, list):
        return [heat(each, parameters) for each in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"get_param"}:
        return parameters[node["get_param"]]
    node = {name: heat(each, parameters) for name, each in node.items()}
    if set(node) != {"str_replace"}:
        return node
    template, params = node["str_replace"]["template"], node["str_replace"]["params"]
    assert len(params) == 1, "one word only: then no value can be taken for another word"
    ((word, value),) = params.items()
    return template.replace(word, value if isinstance(value, str) else json.dumps(value, sort_keys=True))


@pytest.mark.parametrize("value", ["s001", NASTY])
def test_whatever_a_value_holds_it_stays_a_value(template: dict[str, Any], value: str) -> None:
    parameters = {"student": value, "password_hash": jupyter_hash("secret"), "ssh_keys": [KEY, value]}
    user_data = heat(template["resources"]["server"]["properties"]["user_data"], parameters)
    assert user_data.startswith("#cloud-config\n")
    config = yaml.safe_load(user_data)
    assert list(config) == ["write_files"]
    (file,) = config["write_files"]
    assert (file["path"], file["permissions"]) == ("/etc/provision/student.json", "0600")
    assert json.loads(file["content"]) == parameters
