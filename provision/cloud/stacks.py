"""Heat's stacks: seen together by one tagged list call, made, deleted, and asked why they failed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.naming import (
    POOL_TAG,
    SHARED_TAG,
    WARM_TAG,
    place_of,
    pool_label,
    pool_number,
    shared_label,
    shared_number,
    student_of,
)
from provision.core.plan import Stack
from provision.errors import CloudError, NotFoundError, UnsureError

if TYPE_CHECKING:
    from openstack.connection import Connection
    from openstack.proxy import Proxy

CREATED = 201  # Heat's yes to a new stack
TIMEOUT_MINUTES = 30  # after which Heat itself gives a stack up


class StackExistsError(CloudError):
    """Somebody was faster, or an earlier request whose answer was lost did arrive."""


@dataclass(frozen=True)
class Fault:
    """The resource at which a stack failed, and the cloud's own words."""

    resource: str
    reason: str


def _heat(connection: "Connection") -> "Proxy":
    """Heat, with its address looked up once: for each call keystoneauth copies the whole catalog to find it."""
    heat = connection.orchestration
    if heat.endpoint_override is None and (address := heat.get_endpoint()):
        heat.endpoint_override = address.replace("%", "%%")  # it takes parameters
    return heat


def observe_stacks(connection: "Connection", *tags: str) -> tuple[Stack, ...]:
    """All students' stacks that carry every one of `tags`, by one call."""
    return tuple(
        _stack(found, student)
        for found in _list(connection, tags)
        if (student := student_of(found.get("tags") or [])) is not None
    )


def observe_shared(connection: "Connection", *tags: str) -> tuple[Stack, ...]:
    """The stacks that students' machines share, likewise."""
    return tuple(
        _stack(found, shared_label(number))
        for found in _list(connection, (*tags, SHARED_TAG))
        if (number := shared_number(found["stack_name"])) is not None
    )


def observe_pool(connection: "Connection", *tags: str) -> tuple[Stack, ...]:
    """The stacks of pooled machines that are nobody's, likewise. Who claimed one is among the students."""
    return tuple(
        _stack(found, pool_label(number))
        for found in _list(connection, (*tags, POOL_TAG))
        if (number := pool_number(found["stack_name"])) is not None and student_of(found.get("tags") or []) is None
    )


def observe_machines(connection: "Connection", *tags: str) -> tuple[Stack, ...]:
    """The stacks of both, students' and nobody's, by one call."""
    listed = [
        (each, student_of(each.get("tags") or []), pool_number(each["stack_name"])) for each in _list(connection, tags)
    ]
    return tuple(
        _stack(each, pool_label(number or 0) if student is None else student)
        for each, student, number in listed
        if number is not None or student is not None
    )


def observe_every(connection: "Connection") -> tuple[Stack, ...]:
    """All stacks of the project, whosever they are."""
    return tuple(_stack(stack, "") for stack in _list(connection, ()))


def _list(connection: "Connection", tags: tuple[str, ...]) -> list[dict[str, Any]]:
    """As Heat answers: the SDK makes an object of each, which costs more than all else that a launch does."""
    from openstack.exceptions import raise_from_response

    with translated("Listing the stacks"):
        response = _heat(connection).get("/stacks", params={"tags": ",".join(tags)} if tags else {})
        raise_from_response(response)
        return list(response.json()["stacks"])


def _stack(found: Mapping[str, Any], student: str) -> Stack:
    name, status, reason = found["stack_name"], found["stack_status"], found.get("stack_status_reason") or ""
    created, updated = found.get("creation_time") or "", found.get("updated_time") or ""
    tags = found.get("tags") or []
    return Stack(found["id"], name, student, status, reason, created, place_of(tags), updated, WARM_TAG in tags)


def count_stacks(connection: "Connection", without: str = "") -> int:
    """How many stacks the project has, those `without` that tag."""
    return sum(without not in (stack.get("tags") or ()) for stack in _list(connection, ()))


def create_stack(connection: "Connection", name: str, template: str, parameters: Mapping[str, str], *tags: str) -> None:
    """Ask Heat for a stack of the template's text. Sent once: when the answer is lost, the next list call tells.

    Raises StackExistsError when there is one of that name.
    """
    from openstack.exceptions import ConflictException, raise_from_response

    body = {
        "stack_name": name,
        "template": template,
        "parameters": dict(parameters),
        "tags": ",".join(tags),  # Heat splits it at the commas, and fails on a list
        "timeout_mins": TIMEOUT_MINUTES,
        "disable_rollback": True,  # what failed must stay, to say why
    }
    with translated(f"Creating stack {name}"):
        try:
            answer = _heat(connection).post("/stacks", json=body)
            raise_from_response(answer)
        except ConflictException as exc:
            raise StackExistsError(f"A stack {name} exists already.") from exc
    if answer.status_code != CREATED:  # a proxy's page in its place is no yes
        raise UnsureError(f"Creating stack {name} was answered with {answer.status_code}, which Heat does not say.")


def delete_stack(connection: "Connection", stack: Stack) -> None:
    """Ask Heat to delete exactly this stack, whatever else bears its name; one that is gone already is no error."""
    from openstack.exceptions import NotFoundException, raise_from_response

    with translated(f"Deleting stack {stack.name}"):
        try:
            raise_from_response(_heat(connection).delete(_path(stack)))
        except NotFoundException:
            return


def update_stack(connection: "Connection", stack: Stack, broken: str = "") -> None:
    """Have Heat complete a stack as it was made, with the resource `broken` made anew if one is named.

    Nothing else changes: template, parameters and tags stay those that Heat has.
    """
    from openstack.exceptions import raise_from_response

    with translated(f"Repairing stack {stack.name}"):
        if broken:
            unhealthy = {"mark_unhealthy": True, "resource_status_reason": "gone, noticed by provision cohort repair"}
            raise_from_response(_heat(connection).patch(f"{_path(stack)}/resources/{broken}", json=unhealthy))
        body = {"timeout_mins": TIMEOUT_MINUTES, "disable_rollback": True}
        raise_from_response(_heat(connection).patch(_path(stack), json=body))


@dataclass(frozen=True)
class Shown:
    """All that one call shows of a stack. `student` is whose its tags say it is, None if nobody's."""

    stack: Stack
    tags: tuple[str, ...]
    student: str | None
    outputs: Mapping[str, str]


def show_stack(connection: "Connection", name: str, id_: str) -> Shown | None:
    """A stack as it is now; None if it is gone."""
    from openstack.exceptions import raise_from_response

    with translated("Reading a stack"):
        response = connection.orchestration.get(f"/stacks/{name}/{id_}")
        if response.status_code == 404:
            return None
        raise_from_response(response)
        body = response.json()["stack"]
    tags = tuple(body.get("tags") or ())
    student = student_of(list(tags))
    label = student or pool_label(pool_number(body["stack_name"]) or 0)
    outputs = {output["output_key"]: output["output_value"] for output in body.get("outputs") or ()}
    return Shown(_stack(body, label), tags, student, outputs)


def change_stack(connection: "Connection", stack: Stack, parameters: Mapping[str, str]) -> None:
    """Have Heat give a stack other values of these parameters. All else, secrets among it, stays as Heat has it."""
    from openstack.exceptions import raise_from_response

    body = {"parameters": dict(parameters), "timeout_mins": TIMEOUT_MINUTES, "disable_rollback": True}
    with translated(f"Changing stack {stack.name}"):
        raise_from_response(connection.orchestration.patch(_path(stack), json=body))


def tag_stack(connection: "Connection", stack: Stack, tags: Iterable[str]) -> None:
    """Have a stack bear these tags alone. Nothing that it made is touched: template and parameters stay as they are.

    Heat writes them down before it answers, and then looks through the resources, of which none has changed. What
    failed it would make anew: ask only of a stack that is complete. Two at once may lose one's tags: look afterwards.
    """
    from openstack.exceptions import raise_from_response

    body = {"tags": ",".join(tags), "timeout_mins": TIMEOUT_MINUTES, "disable_rollback": True}
    with translated(f"Marking stack {stack.name}"):
        raise_from_response(connection.orchestration.patch(_path(stack), json=body))


def stack_resources(connection: "Connection", stack: Stack) -> dict[str, str]:
    """How each resource of a stack stands, by its name in the template."""
    return {each["resource_name"]: each["resource_status"] for each in _resources(connection, stack)}


def stack_holds(connection: "Connection", stack: Stack) -> set[str]:
    """The ids of what a stack made; nothing if it is gone by now."""
    try:
        return {each["physical_resource_id"] for each in _resources(connection, stack) if each["physical_resource_id"]}
    except NotFoundError:
        return set()


def _resources(connection: "Connection", stack: Stack) -> Any:
    return _read(connection, stack, "/resources")["resources"]


def stack_outputs(connection: "Connection", stack: Stack) -> dict[str, str]:
    """The outputs of a stack, by one call."""
    body = _read(connection, stack, "")["stack"]
    return {output["output_key"]: output["output_value"] for output in body.get("outputs", [])}


def stack_fault(connection: "Connection", stack: Stack) -> Fault:
    """The resource that failed first and why; of nested stacks the innermost, whose words are the real ones."""
    failed = [
        resource
        for resource in _read(connection, stack, "/resources?nested_depth=3")["resources"]
        if resource["resource_status"].endswith("_FAILED") and not _is_echo(resource)
    ]
    if not failed:
        return Fault("stack", stack.reason)
    first = min(failed, key=lambda resource: str(resource["updated_time"]))
    return Fault(first["resource_name"], " ".join(first["resource_status_reason"].split()))


def stack_seconds(connection: "Connection", stack: Stack) -> float:
    """Seconds from the asking for a stack until its last resource stood, by the cloud's own clock."""
    found = _read(connection, stack, "/resources?nested_depth=3")["resources"]
    stood = [str(each["updated_time"]) for each in found if each["resource_status"].endswith("_COMPLETE")]
    last = max(stood, default=stack.created)
    return (datetime.fromisoformat(last) - datetime.fromisoformat(stack.created)).total_seconds()


def stack_waits(connection: "Connection", stack: Stack) -> list[str]:
    """What a stack waits for, one line each: "machine (OS::Nova::Server): BUILD, task spawning"."""
    waits = [
        resource
        for resource in _read(connection, stack, "/resources?nested_depth=3")["resources"]
        if resource["resource_status"].endswith("_IN_PROGRESS")
    ]
    return [f"{each['resource_name']} ({each['resource_type']}): {_state(connection, each)}" for each in waits]


def _state(connection: "Connection", resource: Mapping[str, Any]) -> str:
    """How a resource stands: a server in Nova's own words, which say more than Heat's."""
    if resource["resource_type"] == "OS::Nova::Server" and resource["physical_resource_id"]:
        with translated("Reading a server"):
            server = connection.compute.get_server(resource["physical_resource_id"])
            return f"{server.status}, task {server.task_state or 'none'}"
    return str(resource["resource_status"])


def _is_echo(resource: Mapping[str, Any]) -> bool:
    """Whether it only repeats that another failed: a nested stack, or one that was stopped for the other's sake."""
    nested = any(link["rel"] == "nested" for link in resource.get("links", []))
    return nested or "aborted" in str(resource["resource_status_reason"]).lower()


def _path(stack: Stack) -> str:
    # With the id alone Heat answers with a redirection, which makes two calls of one.
    return f"/stacks/{stack.name}/{stack.id}"


def _read(connection: "Connection", stack: Stack, what: str) -> Any:
    from openstack.exceptions import raise_from_response

    with translated(f"Reading stack {stack.name}"):
        response = _heat(connection).get(_path(stack) + what)
        raise_from_response(response)
        return response.json()
