"""A tour of everything that provision asks a cloud, the answers written down: on a real lab and on the simulator alike.

What is made is small (a network, a subnet, a port, a security group; no machine) and deleted again.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provision.clock import Clock
from provision.cloud.builds import observe_builds
from provision.cloud.compute import compute_quotas, images_in_use, list_flavors
from provision.cloud.identity import whoami
from provision.cloud.network import choose_external_network, network_quotas, observe_leftovers
from provision.cloud.stacks import (
    count_stacks,
    create_stack,
    delete_stack,
    observe_stacks,
    stack_fault,
    stack_outputs,
)
from provision.core.naming import cohort_tag, student_tag
from provision.core.plan import Stack
from provision.errors import ProvisionError

if TYPE_CHECKING:
    import requests
    from openstack.connection import Connection

TAG = cohort_tag("tour-1")
NAME, BROKEN = "tour-1-good", "tour-1-broken"
TEMPLATE = """
heat_template_version: 2018-08-31
parameters:
  address: {type: string}
resources:
  network: {type: OS::Neutron::Net}
  subnet:
    type: OS::Neutron::Subnet
    properties: {network: {get_resource: network}, cidr: 10.99.0.0/24}
  group:
    type: OS::Neutron::SecurityGroup
    properties: {rules: [{protocol: tcp, port_range_min: 80, port_range_max: 80}]}
  port:
    type: OS::Neutron::Port
    properties:
      network: {get_resource: network}
      fixed_ips: [{subnet: {get_resource: subnet}, ip_address: {get_param: address}}]
      security_groups: [{get_resource: group}]
outputs:
  group: {description: The group's id., value: {get_resource: group}}
"""
SECONDS = 120  # that a stack so small may take


@dataclass(frozen=True)
class Answer:
    """An answer as it was, but for what is secret or of one place: `path` and `body` name no host and no id."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: Any


Recorded = dict[str, list[Answer]]  # by the step of the tour
_READ_HEADERS = ("Content-Type", "Retry-After", "X-Subject-Token")
_ID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b[0-9a-f]{32}\b")
_HOST = re.compile(r"https?://[^/\"\s]+")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")


def scrubbed(text: str) -> str:
    """Without hosts, addresses and ids."""
    return _ADDRESS.sub("192.0.2.1", _ID.sub("{id}", _HOST.sub("http://cloud.example", text)))


def _answer(response: "requests.Response") -> Answer:
    url = urlsplit(response.request.url or "")
    try:
        body = _short(json.loads(scrubbed(response.text)))
    except ValueError:
        body = scrubbed(response.text)[:200]
    headers = {name: response.headers[name] for name in _READ_HEADERS if name in response.headers}
    if "X-Subject-Token" in headers:
        headers["X-Subject-Token"] = "{token}"
    return Answer(response.request.method or "", _place(scrubbed(url.path)), response.status_code, headers, body)


def _place(path: str) -> str:
    """From the version of the service on: where a cloud puts its services is its own affair."""
    found = re.search(r"/v\d[\d.]*(/.*|$)", path)
    return found[0] if found else "/"


def _short(body: Any) -> Any:
    """With the first few of each list: what is compared is shapes."""
    if isinstance(body, list):
        return [_short(each) for each in body[:8]]
    if isinstance(body, dict):
        return {key: _short(each) for key, each in body.items()}
    return body


@contextmanager
def written_down(connection: "Connection", into: list[Answer]) -> Iterator[None]:
    """Every answer that comes in the block is appended."""

    def write(response: "requests.Response", *_: Any, **__: Any) -> None:
        into.append(_answer(response))

    hooks = connection.session.session.hooks["response"]
    hooks.append(write)
    try:
        yield
    finally:
        hooks.remove(write)


def tour(connection: "Connection", clock: Clock) -> Recorded:
    """Ask for everything once, and clean up; the answers by step."""
    recorded: Recorded = {}
    for name, step in _steps(clock).items():
        with written_down(connection, recorded.setdefault(name, [])), suppress(ProvisionError):
            step(connection)
    return recorded


def _steps(clock: Clock) -> dict[str, Callable[["Connection"], object]]:
    return {
        "signing in": lambda cloud: (cloud.session.invalidate(), cloud.session.get_token()),
        "the caller": whoami,
        "builds": lambda cloud: observe_builds(cloud, "demo"),
        "flavors": list_flavors,
        "limits": compute_quotas,
        "quotas": lambda cloud: network_quotas(cloud, cloud.current_project_id or ""),
        "external networks": lambda cloud: choose_external_network(cloud, None),
        "servers": images_in_use,
        "all stacks": count_stacks,
        "a new stack": lambda cloud: _create(cloud, NAME, "10.99.0.10"),
        "a name that is taken": lambda cloud: _create(cloud, NAME, "10.99.0.10"),
        "a stack that will fail": lambda cloud: _create(cloud, BROKEN, "192.0.2.10"),
        "a template that is none": lambda cloud: create_stack(cloud, "tour-1-x", TEMPLATE, {"unknown": "x"}, TAG),
        "stacks until they are made": lambda cloud: _wait(cloud, clock, "_IN_PROGRESS"),
        "outputs": lambda cloud: stack_outputs(cloud, _one(cloud, NAME)),
        "why it failed": lambda cloud: stack_fault(cloud, _one(cloud, BROKEN)),
        "a stack that is not there": lambda cloud: stack_outputs(cloud, _nobodys()),
        "what is left": lambda cloud: observe_leftovers(cloud, TAG),
        "the end of stacks": _delete_all,
        "the end of what is not there": lambda cloud: delete_stack(cloud, _nobodys()),
        "stacks until they are gone": lambda cloud: _wait(cloud, clock, ""),
    }


def _create(cloud: "Connection", name: str, address: str) -> None:
    create_stack(cloud, name, TEMPLATE, {"address": address}, TAG, student_tag(name[7:]))


def _one(cloud: "Connection", name: str) -> Stack:
    return next(stack for stack in observe_stacks(cloud, TAG) if stack.name == name)


def _delete_all(cloud: "Connection") -> None:
    for stack in observe_stacks(cloud, TAG):
        delete_stack(cloud, stack)


def _nobodys() -> Stack:
    return Stack("11111111-1111-4111-8111-111111111111", "tour-1-nobody", "nobody", "", "", "")


def _wait(cloud: "Connection", clock: Clock, state: str) -> None:
    """Until no stack of the tour is in a state that ends like this."""
    end = clock.now() + SECONDS
    while any(stack.status.endswith(state) for stack in observe_stacks(cloud, TAG)) and clock.now() < end:
        clock.sleep(2)


def as_json(recorded: Recorded) -> str:
    """As it is kept in a file."""
    return json.dumps({name: [asdict(each) for each in answers] for name, answers in recorded.items()}, indent=1) + "\n"


def from_json(text: str) -> Recorded:
    """What `as_json` wrote."""
    return {name: [Answer(**each) for each in answers] for name, answers in json.loads(text).items()}
