"""The APIs of Nova and Neutron, as far as they are called."""

from collections import Counter

from .state import EXTERNAL, FLAVORS, PROJECT, QUOTAS, Cloud, Thing
from .wire import Answer, Request, refusal, version

_AFTER = {"suspend": "SUSPENDED", "shelve": "SHELVED_OFFLOADED", "os-stop": "SHUTOFF"}
_NOVA = {"instances": "instances", "cores": "vCPUs", "ram": "RAM (MiB)"}
_NEUTRON = {kind.removesuffix("s"): name for kind, name in QUOTAS.items() if kind != "servers"}


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
    if path.startswith("os-quota-sets/"):
        return _set_quota(cloud, request, path.partition("/")[2], _NOVA, "quota_set")
    servers = {name: each for name, each in cloud.things["servers"].items() if each["project_id"] == cloud.acting}
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
        own = cloud.images.get(server["image"]["id"], {})
        size = {"size": 3 * 2**20, "created_at": cloud.now(), "tags": [], "status": "queued"}
        theirs = {"owner": cloud.acting, "visibility": "private"}
        made = {**own, **about["metadata"], "id": cloud.new_id(), "name": about["name"], **size, **theirs}
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
    quotas = {name: _quota(cloud, cloud.acting, name) for name in names.values()}
    most = {f"maxTotal{'RAMSize' if word == 'RAM' else word}": quotas[name][0] for word, name in names.items()}
    return most | {f"total{word}Used": quotas[name][1] for word, name in names.items()}


def _quota(cloud: Cloud, project: str, name: str) -> tuple[int, int]:
    """The limit, and what is used."""
    if project == PROJECT:
        return cloud.limit(name), cloud.used[name]
    return cloud.limits.get(project, {}).get(name, -1), cloud.theirs.get(project, Counter())[name]


def _set_quota(cloud: Cloud, request: Request, project: str, names: dict[str, str], kind: str) -> Answer:
    """Only an operator may."""
    if not (cloud.setup.admin and cloud.acting == PROJECT):
        return refusal("neutron", 403, "(rule:update_quota) is disallowed by policy", "PolicyNotAuthorized")
    if request.method == "DELETE":
        cloud.limits.pop(project, None)
        return Answer(202 if kind == "quota_set" else 204)
    cloud.limits.setdefault(project, {}).update({names[key]: most for key, most in request.body[kind].items()})
    return Answer(200, request.body)


def _server(server: Thing) -> Thing:
    keys = ("id", "name", "status", "metadata", "image", "flavor")
    task = "spawning" if server["status"] == "BUILD" else server.pop("task", None)
    return {**{key: server[key] for key in keys}, "OS-EXT-STS:task_state": task, "created": server["created_at"]}


def network(cloud: Cloud, request: Request) -> Answer:
    """Neutron: its collections, and quotas."""
    path = request.path.removeprefix("/v2.0").strip("/")
    if not path:
        return Answer(200, {"versions": [version("CURRENT", "v2.0", f"{request.url}/neutron/v2.0/")]})
    cloud.greet(cloud.acting)
    if path.startswith("quotas/") and request.method != "GET":
        return _set_quota(cloud, request, path.partition("/")[2], _NEUTRON, "quota")
    if path.startswith("quotas/"):
        return Answer(200, {"quota": _quotas(cloud, path.split("/")[1])})
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
    if name not in cloud.things[kind] or not _seen(cloud, cloud.things[kind][name]):
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
    if kind == "security_groups":
        for rule in [each["id"] for each in _rules(cloud, name)]:
            cloud.remove("security_group_rules", rule)
    cloud.remove(kind, name)
    return Answer(204)


def _rules(cloud: Cloud, group: str) -> list[Thing]:
    return [each for each in cloud.things["security_group_rules"].values() if each.get("security_group_id") == group]


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

    found = [thing for thing in cloud.things[kind].values() if _seen(cloud, thing) and fits(thing)]
    if kind == "security_groups":
        return [{**each, "security_group_rules": _rules(cloud, each["id"])} for each in found]
    return [{**each, "subnets": subnets_of(cloud, each["id"])} for each in found] if kind == "networks" else found


def _quotas(cloud: Cloud, project: str) -> dict[str, dict[str, int]]:
    quotas = {kind: _quota(cloud, project, name) for kind, name in _NEUTRON.items()}
    return {kind: {"limit": limit, "used": used, "reserved": 0} for kind, (limit, used) in quotas.items()}


def _seen(cloud: Cloud, thing: Thing) -> bool:
    """Whether whoever asks sees it: what is his project's, what all see, and an operator everything."""
    operator = cloud.setup.admin and cloud.acting == PROJECT
    return operator or cloud.acting == thing["project_id"] or EXTERNAL in (thing["id"], thing.get("network_id"))
