"""The templates: sound by themselves, and for every shape what the code sends, reads, and asks of the quota."""

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from provision.core.capacity import per_shared, per_student
from provision.core.course_file import parse_course
from provision.core.naming import cohort_tag
from provision.core.roster import Student
from provision.core.shape import ANYWHERE, SUBNET, Shape, gateway_ports, outside
from provision.guests.credentials import jupyter_hash
from provision.paths import data_path
from provision.workflows.asking import Job, stack_parameters
from provision.workflows.handouts import ensure_handouts
from provision.workflows.machine import Reach
from provision.workflows.orders import Order
from provision.workflows.shared import Seat, Task, shared_parameters

from .hot import Heat, load, uses

TEMPLATES = sorted(path.name for path in data_path("heat").glob("*.yaml"))
STUDENT, SHARED = load("student.yaml"), load("shared.yaml")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
NASTY = 'x"\n- {path: /etc/passwd}\nCONFIG STUDENT $config {{ jinja }} \\u0000 café'
CAMPUS = "192.0.2.0/24"

SHAPES = {
    "private": Shape(web_cidr=CAMPUS, ssh_cidr=None),
    "private, SSH": Shape(ssh_cidr=CAMPUS),
    "shared": Shape("shared", ssh_cidr=None),
    "shared, SSH": Shape("shared", ssh_cidr=CAMPUS),
    "shared, gateway": Shape("shared", floating_ip=False, ssh_cidr=None),
    "shared, gateway, SSH": Shape("shared", floating_ip=False, web_cidr="10.0.0.0/8", ssh_cidr=CAMPUS),
}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@dataclass(frozen=True)
class Made:
    """What is made for one student of a shape: the stack that is shared, if one is, and the student's."""

    shared: Heat | None
    student: Heat
    password: str


def make(shape: Shape, folder: Path) -> Made:
    """What the code asks Heat for."""
    course = parse_course(
        '[course]\nname="demo"\ntitle="D"\n[box]\nfile="x"\n[machine]\nvcpus=1\nmemory_mb=512\ndisk_gb=5\n'
        '[user]\nname="student"\ngroup="student"\n[public]\ntls="none"\n',
        "course.toml",
    )
    student = Student("s001", "Ada Lovelace", "ada@example.org", (KEY,))
    order = Order(course, "demo-26J", "26J", (student,), shape)
    ids = {"image": SimpleNamespace(id="image1"), "flavor": SimpleNamespace(id="flavor1"), "network_id": "net1"}
    ground: Any = SimpleNamespace(**ids)
    cloud: Any = None  # none is asked
    shared = Heat(SHARED, shared_parameters(Task(cloud, order, ground, 1), "shared 1")) if shape.shared else None
    reach = Reach(folder, ensure_handouts(folder, [student], "student", "http"), 1)
    seats = {"s001": Seat("id1", shared.outputs())} if shared else {}
    sent = stack_parameters(Job(cloud, order, ground, "", reach, seats), student, reach.handouts["s001"])
    return Made(shared, Heat(STUDENT, sent), reach.handouts["s001"].password)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_is_described_constrained_and_whole(name: str) -> None:
    whole = load(name)
    assert str(whole["heat_template_version"]) == "2018-08-31"
    for named, parameter in whole["parameters"].items():
        assert parameter["description"], named
        assert parameter["constraints"], named
    for named, output in whole["outputs"].items():
        assert output["description"], named
    body = [whole["conditions"], whole["resources"], whole["outputs"]]
    assert uses(body, "get_param") == set(whole["parameters"])
    assert uses(body, "get_resource") <= set(whole["resources"])
    assert not set(whole["parameters"]) & set(whole["resources"]), "Heat refuses a name that is both"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_default_is_what_its_constraints_allow(name: str) -> None:
    for named, parameter in load(name)["parameters"].items():
        if "default" not in parameter:
            continue
        value, rules = (
            parameter["default"],
            {key: rule for each in parameter["constraints"] for key, rule in each.items()},
        )
        count = len(value.split(",")) if parameter["type"] == "comma_delimited_list" and value else len(str(value))
        assert rules.get("length", {"min": 0})["min"] <= count <= rules.get("length", {"max": 99}).get("max", 99), named
        assert re.fullmatch(rules.get("allowed_pattern", ".*"), str(value)), named
        assert value in rules.get("allowed_values", [value]), named


@each_shape
def test_no_secret_and_no_name_is_sent(shape: Shape, tmp_path: Path) -> None:
    made = make(shape, tmp_path)
    text = json.dumps([made.student.parameters, made.shared.parameters if made.shared else {}])
    for secret in (made.password, "Ada", "example.org", "PRIVATE"):
        assert secret not in text
    first, own = made.student.parameters["ssh_keys"]
    assert (first, own[:12]) == (KEY, "ssh-ed25519 ")


NETWORK = ["Net", "Router", "RouterInterface", "SecurityGroup", "Subnet"]


@pytest.mark.parametrize(
    ("shape", "shared", "student"),
    [
        ("private", [], [*NETWORK, "FloatingIP", "Port", "Server"]),
        ("shared", NETWORK, ["FloatingIP", "Port", "Server"]),
        ("shared, gateway", [*NETWORK, "FloatingIP", "Port", "SecurityGroup", "Server"], ["Port", "Server"]),
    ],
)
def test_what_each_shape_is_made_of(shape: str, shared: list[str], student: list[str], tmp_path: Path) -> None:
    for name, each in SHAPES.items():
        if name.removesuffix(", SSH") == shape:
            made = make(each, tmp_path)
            assert (made.shared.kinds() if made.shared else []) == sorted(shared)
            assert made.student.kinds() == sorted(student)


def groups(stack: Heat | None) -> dict[str, list[dict[str, Any]]]:
    """The rules of each security group of a stack."""
    made = stack.resources() if stack else {}
    return {name: each["rules"] for name, each in made.items() if "rules" in each}


@each_shape
def test_each_shape_takes_what_the_quota_arithmetic_says(shape: Shape, tmp_path: Path) -> None:
    made = make(shape, tmp_path)
    for stack, said in ((made.shared, per_shared(shape)), (made.student, per_student(shape))):
        kinds = Counter(stack.kinds() if stack else [])
        rules = groups(stack)
        assert +Counter(said) == +Counter({
            "stacks": int(stack is not None),
            "instances": kinds["Server"],
            "networks": kinds["Net"],
            "subnets": kinds["Subnet"],
            "routers": kinds["Router"],
            "ports": kinds["Port"] + kinds["RouterInterface"] + kinds["Subnet"],  # DHCP has one in each
            "security groups": kinds["SecurityGroup"],
            "security group rules": sum(len(each) + 2 for each in rules.values()),
            "floating IPs": kinds["FloatingIP"],
            "public addresses": kinds["FloatingIP"] + kinds["Router"],
        })  # fmt: skip


def opened(rules: list[dict[str, Any]]) -> set[tuple[str, int, int, str]]:
    """What rules let in: protocol, from which port to which, and from where."""
    for rule in rules:
        assert set(rule) <= {"protocol", "port_range_min", "port_range_max", "remote_ip_prefix"}, "no rule of a group"
    return {
        (rule["protocol"], int(rule["port_range_min"]), int(rule["port_range_max"]), rule.get("remote_ip_prefix", ""))
        for rule in rules
    }


FRAGMENTATION_NEEDED = ("icmp", 3, 4, "")  # ICMP's type and code
GATEWAY = "<gateway_port.fixed_ips.0.ip_address>/32"


def test_a_private_machine_opens_the_web_and_from_where_it_is_said_ssh(tmp_path: Path) -> None:
    web = {("tcp", 80, 80, CAMPUS), ("tcp", 443, 443, CAMPUS), FRAGMENTATION_NEEDED}
    (rules,) = groups(make(SHAPES["private"], tmp_path).student).values()
    assert opened(rules) == web
    (rules,) = groups(make(SHAPES["private, SSH"], tmp_path).student).values()
    assert opened(rules) == {
        ("tcp", 80, 80, ANYWHERE),
        ("tcp", 443, 443, ANYWHERE),
        ("tcp", 22, 22, CAMPUS),
        FRAGMENTATION_NEEDED,
    }


@pytest.mark.parametrize("name", [name for name in SHAPES if name.startswith("shared")])
def test_no_rule_of_a_shared_network_lets_a_neighbour_in(name: str, tmp_path: Path) -> None:
    rules = groups(make(SHAPES[name], tmp_path).shared)
    for protocol, *ports, source in opened([rule for each in rules.values() for rule in each]):
        if source == GATEWAY:
            assert "gateway" in name
        elif (protocol, *ports, source) != FRAGMENTATION_NEEDED:
            assert not IPv4Network(source).overlaps(IPv4Network(SUBNET))
    assert ("security_group" in rules, "gateway_group" in rules) == (True, "gateway" in name)


def test_a_shared_network_lets_the_rest_of_the_world_in(tmp_path: Path) -> None:
    rules = opened(groups(make(SHAPES["shared, SSH"], tmp_path).shared)["security_group"])
    web = {("tcp", port, port, part) for port in (80, 443) for part in outside(ANYWHERE)}
    assert rules == {*web, ("tcp", 22, 22, CAMPUS), FRAGMENTATION_NEEDED}


def test_behind_a_gateway_machines_know_the_gateway_alone(tmp_path: Path) -> None:
    rules = groups(make(SHAPES["shared, gateway, SSH"], tmp_path).shared)
    machines = {("tcp", port, port, GATEWAY) for port in (22, 80, 443)}
    assert opened(rules["security_group"]) == {*machines, FRAGMENTATION_NEEDED}
    ports = [gateway_ports(str(host)) for host in IPv4Network(SUBNET).hosts()]
    (web, ssh), (web_end, ssh_end) = ports[0], ports[-1]
    outer = {("tcp", web, web_end, part) for part in outside("10.0.0.0/8")}
    assert opened(rules["gateway_group"]) == {*outer, ("tcp", ssh, ssh_end, CAMPUS), FRAGMENTATION_NEEDED}


@each_shape
def test_a_machine_uses_the_network_and_the_rules_that_are_meant_for_it(shape: Shape, tmp_path: Path) -> None:
    made = make(shape, tmp_path)
    port = made.student.resources()["port"]
    assert (port["network"], port["security_groups"]) == ("<network>", ["<security_group>"])
    outputs = made.student.outputs()
    if shape.gateway:
        assert outputs["address"] == outputs["gateway"] == "<gateway_address.floating_ip_address>"
    else:
        assert (outputs["address"], outputs["gateway"]) == ("<floating_ip.floating_ip_address>", "")
    assert outputs["inner_address"] == "<port.fixed_ips.0.ip_address>"


def test_the_templates_by_themselves_open_no_ssh_and_no_neighbour() -> None:
    needed = {name: "x" for name, each in STUDENT["parameters"].items() if "default" not in each}
    (rules,) = groups(Heat(STUDENT, needed)).values()
    assert opened(rules) == {("tcp", 80, 80, ANYWHERE), ("tcp", 443, 443, ANYWHERE), FRAGMENTATION_NEEDED}
    (rules,) = groups(Heat(SHARED, {"external_network": "x"})).values()
    web = {("tcp", port, port, part) for port in (80, 443) for part in outside(ANYWHERE)}
    assert opened(rules) == {*web, FRAGMENTATION_NEEDED}
    assert SHARED["parameters"]["cidr"]["default"] == SUBNET


def test_a_machine_cannot_lose_its_address_to_a_gateway_of_no_network() -> None:
    needed = {name: "x" for name, each in STUDENT["parameters"].items() if "default" not in each}
    assert "floating_ip" in Heat(STUDENT, {**needed, "gateway": "192.0.2.7"}).resources()


def test_the_shared_outputs_are_the_students_parameters() -> None:
    assert set(SHARED["outputs"]) <= set(STUDENT["parameters"])


def test_no_machine_of_a_shared_network_can_take_anothers_address() -> None:
    assert SHARED["resources"]["network"]["properties"]["port_security_enabled"] is True


@pytest.mark.parametrize("name", TEMPLATES)
def test_everything_made_can_be_found_again(name: str) -> None:
    unmarked = [
        named
        for named, resource in load(name)["resources"].items()
        if "tag" not in uses(resource["properties"], "get_param") and resource["type"] != "OS::Neutron::RouterInterface"
    ]
    assert unmarked == []
    assert len(cohort_tag("a" * 32 + "-" + "b" * 16)) <= 60


@pytest.mark.parametrize("value", ["s001", NASTY])
def test_whatever_a_value_holds_it_stays_a_value(value: str) -> None:
    secrets = {"student": value, "password_hash": jupyter_hash("secret"), "ssh_keys": [KEY, value]}
    secrets["caretaker_keys"] = [value]
    needed = {name: "x" for name, each in STUDENT["parameters"].items() if "default" not in each}
    user_data = Heat(STUDENT, {**needed, **secrets}).resources()["server"]["user_data"]
    assert user_data.startswith("#cloud-config\n")
    config = yaml.safe_load(user_data)
    assert list(config) == ["write_files"]
    (file,) = config["write_files"]
    assert (file["path"], file["permissions"]) == ("/etc/provision/student.json", "0600")
    assert json.loads(file["content"]) == secrets


def test_without_a_student_a_machine_is_nobodys_and_knows_its_caretaker() -> None:
    """As first boot reads it: no password, and so no student."""
    needed = {name: "x" for name, each in STUDENT["parameters"].items() if "default" not in each}
    config = yaml.safe_load(Heat(STUDENT, {**needed, "caretaker_keys": KEY}).resources()["server"]["user_data"])
    record = json.loads(config["write_files"][0]["content"])
    assert record == {"student": "x", "password_hash": "", "ssh_keys": [], "caretaker_keys": [KEY]}


def test_every_machine_of_a_cohort_knows_the_same_caretaker(tmp_path: Path) -> None:
    keys = {tuple(make(shape, tmp_path).student.parameters["caretaker_keys"]) for shape in SHAPES.values()}
    assert keys == {((tmp_path / "caretaker.pub").read_text().removesuffix(" provision caretaker\n"),)}
    assert {path.name for path in tmp_path.glob("caretaker*") if path.stat().st_mode & 0o077 == 0} == {
        "caretaker",
        "caretaker.pub",
    }


def test_the_gateway_writes_a_rule_for_each_port_and_loads_them(tmp_path: Path) -> None:
    """Its script is run; only where its results go is changed. That nftables takes them is the lab's to show."""
    given = {"external_network": "x", "gateway_image": "i", "cidr": "10.9.8.0/24", "web_port": 443}
    script = Heat(SHARED, {**given, "web_port": "443"}).resources()["gateway"]["user_data"]
    assert script.startswith("#cloud-boothook\n#!/bin/sh\n")
    (tmp_path / "nft").write_text(f"#!/bin/sh\necho $@ >>{tmp_path}/called\n")
    (tmp_path / "nft").chmod(0o755)
    script = script.replace("/etc/", f"{tmp_path}/").replace("/proc/sys/net/ipv4/", f"{tmp_path}/")
    (tmp_path / "conf" / "eth0").mkdir(parents=True)
    (tmp_path / "conf" / "eth0" / "send_redirects").write_text("1\n")
    done = subprocess.run(["sh", "-c", f"PATH={tmp_path}:$PATH\n{script}"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    rules = (tmp_path / "nftables.conf").read_text()
    led = {int(port): target for port, target in re.findall(r"tcp dport (\d+) dnat to ([\d.:]+)", rules)}
    wanted: dict[int, str] = {}
    for host in IPv4Network("10.9.8.0/24").hosts():
        web, ssh = gateway_ports(str(host))
        wanted |= {web: f"{host}:443", ssh: f"{host}:22"}
    assert led == wanted
    assert (tmp_path / "called").read_text() == f"-f {tmp_path}/nftables.conf\n"
    assert (tmp_path / "ip_forward").read_text() == "1\n"
    assert (tmp_path / "conf" / "eth0" / "send_redirects").read_text() == "0\n"
