"""Heat's API, as far as it is called."""

import json
from collections.abc import Mapping
from typing import Any

from . import engine
from .state import USER, Cloud, Stack
from .templates import resolve
from .wire import Answer, Request, refusal, version


def _root(path: str) -> str:
    """The part of a path that names the project."""
    return "/".join(path.split("/")[:3])


def check(cloud: Cloud, request: Request) -> Answer | None:
    """What Heat finds out before it does anything: two that ask at once for one name both come through here."""
    root = _root(request.path)
    if (request.method, request.path) != ("POST", f"{root}/stacks"):
        return None
    name = request.body["stack_name"]
    if any(stack.project == root.rpartition("/")[2] for stack in cloud.stacks_named(name)):
        return refusal("heat", 409, f"The Stack ({name}) already exists.", "StackExists")
    return None


def answer(cloud: Cloud, request: Request) -> Answer:
    """Do what is asked."""
    if request.path in ("", "/"):
        return Answer(300, {"versions": [version("CURRENT", "v1.0", f"{request.url}/heat/v1/")]})
    root = _root(request.path)
    if root != f"/v1/{cloud.acting}":
        return refusal("heat", 403, "You are not authorized to use this project.", "Forbidden")
    match (request.method, *request.path.removeprefix(root).strip("/").split("/")):
        case ["GET", "stacks"]:
            return _index(cloud, request)
        case ["POST", "stacks"]:
            return _create(cloud, request)
        case ["POST", "validate"]:
            return _validate(cloud, request)
        case [method, "stacks", _, name, *rest] if (stack := cloud.stacks.get(name)) and stack.project == cloud.acting:
            return _one(cloud, request, method, stack, rest)
    return refusal("heat", 404, f"The Stack ({request.path}) could not be found.", "EntityNotFound")


def _one(cloud: Cloud, request: Request, method: str, stack: Stack, rest: list[str]) -> Answer:
    match (method, *rest):
        case ["GET"]:
            return Answer(200, {"stack": _shown(cloud, request, stack)})
        case ["GET", "resources"]:
            return Answer(200, {"resources": [_resource(request, stack, path) for path in stack.states]})
        case ["GET", "events"]:
            return Answer(200, {"events": []})
        case ["DELETE"]:
            if not stack.status.startswith("DELETE_IN"):
                engine.begin_delete(cloud, stack)
            return Answer(204)
        case ["PATCH"] | ["PUT"]:
            return _update(cloud, request, stack)
        case ["PATCH", "resources", name] if name in stack.made:
            stack.unhealthy.add(name)
            return Answer(200)
        case ["POST", "actions"]:
            return _act(cloud, request, stack)
    return refusal("heat", 404, "The resource could not be found.", "HTTPNotFound")


def _index(cloud: Cloud, request: Request) -> Answer:
    wanted = {tag for tag in request.query.get("tags", "").split(",") if tag}
    names = request.query.get("name")
    own = [stack for stack in cloud.stacks.values() if stack.project == cloud.acting]
    found = [stack for stack in own if wanted <= {*stack.tags} and names in (None, stack.name)]
    found.reverse()  # the newest first
    if marker := request.query.get("marker"):
        found = found[[stack.id for stack in found].index(marker) + 1 :]
    found = found[: int(request.query.get("limit", len(found)))]
    return Answer(200, f'{{"stacks": [{", ".join(_listed(request, stack) for stack in found)}]}}')


def _listed(request: Request, stack: Stack) -> str:
    stack.listed = stack.listed or json.dumps(_basic(request, stack))
    return stack.listed


def _basic(request: Request, stack: Stack) -> dict[str, Any]:
    return {
        "id": stack.id,
        "links": [_link(request, stack)],
        "stack_name": stack.name,
        "description": stack.description,
        "stack_status": stack.status,
        "stack_status_reason": stack.reason,
        "creation_time": stack.created,
        "updated_time": stack.updated,
        "deletion_time": None,
        "stack_owner": None,
        "parent": None,
        "stack_user_project_id": USER,
        "tags": list(stack.tags),
    }


def _link(request: Request, stack: Stack, more: str = "", rel: str = "self") -> dict[str, str]:
    return {"href": f"{request.url}/heat/v1/{stack.project}/stacks/{stack.name}/{stack.id}{more}", "rel": rel}


def _shown(cloud: Cloud, request: Request, stack: Stack) -> dict[str, Any]:
    scope = cloud.scope(stack)
    outputs = [
        {
            "output_key": name,
            "description": about.get("description", "No description given"),
            "output_value": resolve(about["value"], scope),
        }
        for name, about in (stack.template.get("outputs") or {}).items()
    ]
    return {
        **_basic(request, stack),
        "parameters": {**_pseudo(stack), **{name: _masked(stack, name) for name in stack.parameters}},
        "outputs": outputs if not stack.status.startswith("CREATE_IN") else [],
        "capabilities": [],
        "notification_topics": [],
        "template_description": stack.description,
        "timeout_mins": 30,
        "disable_rollback": True,
    }


def _pseudo(stack: Stack) -> dict[str, str]:
    about = f"arn:openstack:heat::{stack.project}:stacks/{stack.name}/{stack.id}"
    return {"OS::project_id": stack.project, "OS::stack_id": about, "OS::stack_name": stack.name}


def _masked(stack: Stack, name: str) -> str:
    hidden = (stack.template.get("parameters") or {}).get(name, {}).get("hidden")
    return "******" if hidden else str(stack.parameters[name])


def _resource(request: Request, stack: Stack, path: str) -> dict[str, Any]:
    status, reason, when = stack.states[path]
    part = next(part for part in stack.parts if ".".join(part.path) == path)
    return {
        "resource_name": part.name,
        "logical_resource_id": part.name,
        "resource_type": part.kind,
        "resource_status": status,
        "resource_status_reason": reason,
        "physical_resource_id": stack.made.get(path, {}).get("id", ""),
        "creation_time": when,
        "updated_time": when,
        "required_by": [],
        "links": [_link(request, stack, f"/resources/{part.name}"), _link(request, stack, rel="stack")],
    }


def _create(cloud: Cloud, request: Request) -> Answer:
    body, most = request.body, cloud.setup.stack_limit
    if len(cloud.stacks) + cloud.taken["stacks"] >= most:
        words = f"You have reached the maximum stacks per tenant, {most}. Please delete some stacks."
        return refusal("heat", 403, words, "RequestLimitExceeded")
    template, parameters, parts = cloud.parse(body)
    if wrong := _wrong(template, parameters):
        return refusal("heat", 400, wrong, "StackValidationFailed")
    stack = Stack(
        id=cloud.new_id(),
        name=body["stack_name"],
        tags=_tags(body),
        parameters=parameters,
        template=template,
        parts=parts,
        created=cloud.now(),
        description=str(template.get("description", "No description")),
        project=cloud.acting,
    )
    cloud.stacks[stack.id] = stack
    engine.begin_create(cloud, stack)
    return Answer(201, {"stack": {"id": stack.id, "links": [_link(request, stack)]}})


def _tags(body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in body["tags"].split(",")) if body.get("tags") else ()


def _wrong(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    asked = template.get("parameters") or {}
    if missing := [name for name in asked if name not in parameters]:
        return f"The Parameter ({missing[0]}) was not provided."
    if unknown := [name for name in parameters if name not in asked]:
        return f"The Parameter ({unknown[0]}) was not defined in template."
    return ""


def _update(cloud: Cloud, request: Request, stack: Stack) -> Answer:
    body = request.body
    if stack.status.startswith("DELETE_"):
        return refusal("heat", 400, "Updating a stack when it is deleting is not supported.", "NotSupported")
    merged = {**body, "parameters": {**stack.parameters, **(body.get("parameters") or {})}}
    if "template" in body:
        stack.template, stack.parameters, stack.parts = cloud.parse(merged)
    else:
        stack.parameters = merged["parameters"]
    if "tags" in body:  # written down before Heat answers
        stack.tags = _tags(body)
    stack.updated = cloud.now()
    engine.begin_update(cloud, stack)
    return Answer(202)


def _act(cloud: Cloud, request: Request, stack: Stack) -> Answer:
    (action,) = request.body
    engine.act(cloud, stack, action.upper())
    return Answer(200)


def _validate(cloud: Cloud, request: Request) -> Answer:
    template, _, _ = cloud.parse(request.body)
    about = {
        name: {
            "Type": "String",
            "NoEcho": str(bool(asked.get("hidden"))).lower(),
            "Description": asked.get("description", ""),
            "Label": name,
        }
        for name, asked in (template.get("parameters") or {}).items()
    }
    return Answer(200, {"Description": template.get("description", "No description"), "Parameters": about,
                        "Environment": {}})  # fmt: skip
