"""The APIs of Keystone, Glance, Nova and Neutron, as far as they are called."""

from typing import Any

from .state import FLAVORS, PROJECT, QUOTAS, USER, Cloud, Thing
from .wire import Answer, Request, refusal, version

SERVICES = {
    "orchestration": f"/heat/v1/{PROJECT}",
    "compute": "/nova/v2.1",
    "network": "/neutron",
    "image": "/glance",
    "identity": "/identity/v3",
}
_IMAGE_KEYS = ("name", "owner", "status", "provision_snapshot_of")
_AFTER = {"suspend": "SUSPENDED", "shelve": "SHELVED_OFFLOADED", "os-stop": "SHUTOFF"}


def identity(cloud: Cloud, request: Request) -> Answer:
    """Keystone: its version, and tokens."""
    if (request.method, request.path) != ("POST", "/v3/auth/tokens"):
        return Answer(200, {"version": version("stable", "v3.14", f"{request.url}/identity/v3")})
    user = request.body["auth"]["identity"]["password"]["user"]
    if user["password"] != "secret":
        return refusal("identity", 401, "The request you have made requires authentication.")
    name = f"gAAAAA{cloud.new_id()}"
    cloud.tokens[name] = cloud.clock.now() + cloud.setup.token_life
    return Answer(201, {"token": _token(cloud, request, user["name"])}, {"X-Subject-Token": name})


def _token(cloud: Cloud, request: Request, user: str) -> dict[str, Any]:
    domain = {"id": "default", "name": "Default"}
    catalog = [
        {
            "type": kind,
            "name": kind,
            "id": kind,
            "endpoints": [
                {"id": kind, "interface": "public", "region": "one", "region_id": "one", "url": request.url + place}
            ],
        }
        for kind, place in SERVICES.items()
    ]
    return {
        "methods": ["password"],
        "user": {"id": USER, "name": user, "domain": domain, "password_expires_at": None},
        "project": {"id": PROJECT, "name": "faculty", "domain": domain},
        "is_domain": False,
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "heat_stack_owner"}],
        "audit_ids": ["a"],
        "expires_at": "2099-01-01T00:00:00.000000Z",  # the client's own clock is not ours: we end it by 401
        "issued_at": cloud.now().replace("Z", ".000000Z"),
        "catalog": catalog,
    }


def image(cloud: Cloud, request: Request) -> Answer:
    """Glance: images, found and shown."""
    if request.path in ("", "/"):
        return Answer(300, {"versions": [version("CURRENT", "v2.15", f"{request.url}/glance/v2/")]})
    name = request.path.removeprefix("/v2/images").strip("/")
    if name and request.method == "DELETE":
        gone = cloud.images.pop(name, None)
        return Answer(204) if gone else refusal("glance", 404, f"No image found with ID {name}")
    if name:
        found = cloud.images.get(name)
        return Answer(200, found) if found else refusal("glance", 404, f"No image found with ID {name}")
    asked = {key: value for key, value in request.query.items() if key in _IMAGE_KEYS}
    shown = [
        each
        for each in cloud.images.values()
        if request.query.get("tag") in (None, *each["tags"]) and asked.items() <= each.items()
    ]
    shown = [dict(each) for each in shown]
    for each in cloud.images.values():
        each["status"] = {"queued": "saving", "saving": "active"}.get(each["status"], each["status"])
    return Answer(200, {"images": shown, "first": "/v2/images", "schema": "/v2/schemas/images"})


def compute(cloud: Cloud, request: Request) -> Answer:
    """Nova: flavors, limits, servers."""
    path = request.path.removeprefix("/v2.1").strip("/")
    if not path:
        said = version("CURRENT", "v2.1", f"{request.url}/nova/v2.1/", version="2.93", min_version="2.1")
        return Answer(200, {"version": said})
    if path in ("flavors/detail", "flavors"):
        return Answer(200, {"flavors": [{**flavor, "links": []} for flavor in FLAVORS]})
    if path == "limits":
        return Answer(200, {"limits": {"absolute": _limits(cloud), "rate": []}})
    servers = cloud.things["servers"]
    if path in ("servers", "servers/detail"):
        return Answer(200, {"servers": [_server(each) for each in servers.values()]})
    name = path.removeprefix("servers/").partition("/")[0]
    if name not in servers:
        return refusal("nova", 404, f"Instance {name} could not be found.", "itemNotFound")
    if request.method == "DELETE":
        cloud.delete_server_by_id(name)
        return Answer(204)
    if request.method == "POST" and path.endswith("/metadata"):
        servers[name]["metadata"] = {**servers[name]["metadata"], **request.body["metadata"]}
        return Answer(200, {"metadata": servers[name]["metadata"]})
    if request.method == "POST":
        return _action(cloud, servers[name], request)
    return Answer(200, {"server": _server(servers[name])})


def _action(cloud: Cloud, server: Thing, request: Request) -> Answer:
    """What Nova does with a server, at once; only a rebuild can still be seen under way."""
    ((action, about),) = request.body.items()
    if action == "os-getConsoleOutput":
        return Answer(200, {"output": server.get("console", "")})
    if action == "createImage":
        own = cloud.images.get(server["image"]["id"], {"owner": PROJECT, "visibility": "private"})
        size = {"size": 3 * 2**20, "created_at": cloud.now(), "tags": [], "status": "queued"}
        made = {**own, **about["metadata"], "id": cloud.new_id(), "name": about["name"], **size}
        cloud.images[made["id"]] = made
        return Answer(202)
    if action == "rebuild":
        if server["status"] not in ("ACTIVE", "SHUTOFF", "ERROR"):
            words = f"Cannot 'rebuild' instance {server['id']} while it is in vm_state {server['status'].lower()}"
            return refusal("nova", 409, words, "conflictingRequest")
        server |= {"image": {"id": about["imageRef"]}, "task": "rebuilding"}
        return Answer(202)
    server["status"] = _AFTER.get(action, "ACTIVE")
    return Answer(202)


def _limits(cloud: Cloud) -> dict[str, int]:
    names = {"Instances": "instances", "Cores": "vCPUs", "RAM": "RAM (MiB)"}
    most = {f"maxTotal{'RAMSize' if word == 'RAM' else word}": cloud.limit(name) for word, name in names.items()}
    return most | {f"total{word}Used": cloud.used[name] for word, name in names.items()}


def _server(server: Thing) -> Thing:
    keys = ("id", "name", "status", "metadata", "image", "flavor")
    task = "spawning" if server["status"] == "BUILD" else server.pop("task", None)
    return {**{key: server[key] for key in keys}, "OS-EXT-STS:task_state": task, "created": server["created_at"]}


def network(cloud: Cloud, request: Request) -> Answer:
    """Neutron: its collections, and quotas."""
    path = request.path.removeprefix("/v2.0").strip("/")
    if not path:
        return Answer(200, {"versions": [version("CURRENT", "v2.0", f"{request.url}/neutron/v2.0/")]})
    if path.startswith("quotas/"):
        return Answer(200, {"quota": _quotas(cloud)})
    collection, _, name = path.partition("/")
    kind = collection.replace("-", "_")
    if kind not in cloud.things or kind == "servers":
        return refusal("neutron", 404, "The resource could not be found.", "HTTPNotFound")
    if request.method == "POST":
        return _add(cloud, request, kind)
    if not name:
        fields = request.fields
        found = _found(cloud, request, kind)
        return Answer(200, {kind: [{key: each[key] for key in fields} for each in found] if fields else found})
    if name not in cloud.things[kind]:
        return refusal("neutron", 404, f"{kind[:-1].capitalize()} {name} could not be found.", "NotFound")
    return _one(cloud, request, kind, name)


def _one(cloud: Cloud, request: Request, kind: str, name: str) -> Answer:
    thing = cloud.things[kind][name]
    if request.method == "DELETE":
        return _remove(cloud, kind, name)
    if request.method == "PUT":
        thing |= next(iter(request.body.values()))
        thing |= {"revision_number": thing["revision_number"] + 1, "updated_at": cloud.now()}
    return Answer(200, {kind.removesuffix("s"): thing})


def _remove(cloud: Cloud, kind: str, name: str) -> Answer:
    """A network goes with its subnets, and not while it has ports."""
    if kind == "networks":
        if any(port.get("network_id") == name for port in cloud.things["ports"].values()):
            return refusal("neutron", 409, f"There are one or more ports still in use on the network {name}.", "InUse")
        for subnet in subnets_of(cloud, name):
            cloud.remove("subnets", subnet)
    cloud.remove(kind, name)
    return Answer(204)


def subnets_of(cloud: Cloud, network: str) -> list[str]:
    return [each["id"] for each in cloud.things["subnets"].values() if each.get("network_id") == network]


def _add(cloud: Cloud, request: Request, kind: str) -> Answer:
    ((singular, wanted),) = request.body.items()
    if not cloud.has_room(QUOTAS[kind]):
        return refusal("neutron", 409, f"Quota exceeded for resources: ['{singular}'].", "OverQuota")
    if kind == "subnets" and subnets_of(cloud, wanted["network_id"]):
        return refusal("neutron", 400, f"The requested subnet with cidr {wanted['cidr']} overlaps another.", "Invalid")
    others = [port for port in cloud.things["ports"].values() if port.get("network_id") == wanted.get("network_id")]
    taken = {address for port in others for address in _fixed(port)}
    for address in _fixed(wanted):  # all of a port's addresses, or none
        if kind == "ports" and address in taken:
            words = f"IP address {address[1]} already allocated in subnet {address[0]}"
            return refusal("neutron", 409, words, "IpAddressAlreadyAllocated")
    return Answer(201, {singular: cloud.things[kind][cloud.add(kind, wanted)]})


def _fixed(port: Thing) -> set[tuple[str, str]]:
    return {
        (each.get("subnet_id", ""), each["ip_address"]) for each in port.get("fixed_ips") or () if "ip_address" in each
    }


def _found(cloud: Cloud, request: Request, kind: str) -> list[Thing]:
    def fits(thing: Thing) -> bool:
        for key, wanted in request.query.items():
            if key == "tags" and not {*wanted.split(",")} <= {*thing["tags"]}:
                return False
            if key == "router:external" and bool(thing.get(key)) != (wanted.lower() == "true"):
                return False
            if key == "fixed_ips" and wanted.partition("=")[2] not in {address for _, address in _fixed(thing)}:
                return False
            if key in thing and key not in ("tags", "router:external", "fixed_ips") and str(thing[key]) != wanted:
                return False
        return True

    found = [thing for thing in cloud.things[kind].values() if fits(thing)]
    if kind == "security_groups":
        rules = [*cloud.things["security_group_rules"].values()]
        return [
            {**each, "security_group_rules": [rule for rule in rules if rule.get("security_group_id") == each["id"]]}
            for each in found
        ]
    return [{**each, "subnets": subnets_of(cloud, each["id"])} for each in found] if kind == "networks" else found


def _quotas(cloud: Cloud) -> dict[str, dict[str, int]]:
    return {
        kind.removesuffix("s"): {"limit": cloud.limit(name), "used": cloud.used[name], "reserved": 0}
        for kind, name in QUOTAS.items()
        if kind != "servers"
    }
