"""Keystone's API, as far as it is called: tokens, and the projects, users and roles of students."""

from typing import Any

from .state import PROJECT, USER, Cloud, Thing
from .wire import Answer, Request, refusal, version

SERVICES = {"orchestration": "/heat/v1", "compute": "/nova/v2.1", "network": "/neutron", "image": "/glance"}
SERVICES |= {"identity": "/identity/v3"}
ROLES = {"r1": "member", "r2": "heat_stack_owner", "r3": "admin", "r4": "reader"}
DOMAIN = {"id": "default", "name": "Default"}
_REFUSED = "The request you have made requires authentication."


def answer(cloud: Cloud, request: Request) -> Answer:
    """Its version, tokens, and what an operator may do."""
    if (request.method, request.path) == ("POST", "/v3/auth/tokens"):
        return _sign_in(cloud, request)
    if request.path.strip("/") in ("", "v3"):
        return Answer(200, {"version": version("stable", "v3.14", f"{request.url}/identity/v3")})
    if cloud.tokens.get(request.headers.get("X-Auth-Token", ""), 0) <= cloud.clock.now():
        return refusal("identity", 401, _REFUSED)
    if not cloud.setup.admin or cloud.acting != PROJECT:
        return refusal("identity", 403, "You are not authorized to perform the requested action.")
    match (request.method, *request.path.removeprefix("/v3/").split("/")):
        case ["GET", "roles"]:
            return Answer(200, {"roles": [{"id": id_, "name": name} for id_, name in ROLES.items()], "links": {}})
        case ["GET", "domains"]:
            return Answer(200, {"domains": [DOMAIN] if request.query.get("name") == "Default" else [], "links": {}})
        case [method, "projects", project, "users", user, "roles", role]:
            return _grant(cloud, method, (project, user, role))
        case [method, "projects" | "users" as kind, *rest]:
            held = cloud.projects if kind == "projects" else cloud.users
            return _collection(cloud, request, method, kind, held, rest)
    return refusal("identity", 404, "The resource could not be found.")


def _collection(
    cloud: Cloud, request: Request, method: str, kind: str, held: dict[str, Thing], rest: list[str]
) -> Answer:
    singular = kind.removesuffix("s")
    if method == "GET" and not rest:
        return Answer(200, {kind: [each for each in held.values() if _fits(request, each)], "links": {}})
    if method == "POST":
        return _make(cloud, singular, request.body[singular], held)
    if rest[0] not in held:
        return refusal("identity", 404, f"Could not find {singular}: {rest[0]}.")
    if method == "DELETE":
        del held[rest[0]]
        cloud.grants = {each for each in cloud.grants if rest[0] not in each}
        return Answer(204)
    return Answer(200, {singular: held[rest[0]]})


def _make(cloud: Cloud, singular: str, wanted: Thing, held: dict[str, Thing]) -> Answer:
    """Names are unique in a domain; a password is never answered."""
    if any((each["name"], each["domain_id"]) == (wanted["name"], wanted["domain_id"]) for each in held.values()):
        words = f"Conflict occurred attempting to store {singular} - Duplicate entry found with name {wanted['name']}."
        return refusal("identity", 409, words)
    shown = {key: value for key, value in wanted.items() if key != "password"}
    common: Thing = {"id": cloud.new_id().replace("-", ""), "enabled": True, "links": {}}
    made = common | ({"tags": []} if singular == "project" else {}) | shown
    held[made["id"]] = made
    return Answer(201, {singular: made})


def _fits(request: Request, thing: Thing) -> bool:
    for key, wanted in request.query.items():
        if key == "tags" and not {*wanted.split(",")} <= {*thing["tags"]}:
            return False
        if key in ("name", "domain_id") and thing[key] != wanted:
            return False
    return True


def _grant(cloud: Cloud, method: str, grant: tuple[str, str, str]) -> Answer:
    project, user, role = grant
    if project not in cloud.projects or user not in {*cloud.users, USER} or role not in ROLES:
        return refusal("identity", 404, "Could not find one of them.")
    if method == "PUT":
        cloud.grants.add(grant)
    elif method == "DELETE":
        cloud.grants.discard(grant)
    return Answer(204)


def _sign_in(cloud: Cloud, request: Request) -> Answer:
    auth = request.body["auth"]
    user = auth["identity"]["password"]["user"]
    wanted = (auth.get("scope") or {}).get("project") or {}
    project, roles = PROJECT, ["r1", "r2", *(["r3"] if cloud.setup.admin else [])]
    if wanted.get("id", PROJECT) != PROJECT:
        project = wanted["id"]
        roles = [role for role in ROLES if (project, USER, role) in cloud.grants]
    if user["password"] != "secret" or not roles:
        return refusal("identity", 401, _REFUSED)
    name = f"gAAAAA{cloud.new_id()}"
    cloud.tokens[name] = cloud.clock.now() + cloud.setup.token_life
    cloud.scopes[name] = project
    return Answer(201, {"token": _token(cloud, request, user["name"], project, roles)}, {"X-Subject-Token": name})


def _token(cloud: Cloud, request: Request, user: str, project: str, roles: list[str]) -> dict[str, Any]:
    name = cloud.projects[project]["name"] if project in cloud.projects else "faculty"
    return {
        "methods": ["password"],
        "user": {"id": USER, "name": user, "domain": DOMAIN, "password_expires_at": None},
        "project": {"id": project, "name": name, "domain": DOMAIN},
        "is_domain": False,
        "roles": [{"id": role, "name": ROLES[role]} for role in roles],
        "audit_ids": ["a"],
        "expires_at": "2099-01-01T00:00:00.000000Z",  # the client's own clock is not ours: we end it by 401
        "issued_at": cloud.now().replace("Z", ".000000Z"),
        "catalog": [_service(request, kind, place, project) for kind, place in SERVICES.items()],
    }


def _service(request: Request, kind: str, place: str, project: str) -> dict[str, Any]:
    url = request.url + place + (f"/{project}" if kind == "orchestration" else "")
    endpoint = {"id": kind, "interface": "public", "region": "one", "region_id": "one", "url": url}
    return {"type": kind, "name": kind, "id": kind, "endpoints": [endpoint]}
