"""What Heat does with a stack in the time after it has answered: makes its resources, heals, deletes them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from itertools import islice
from math import inf
from typing import Any

from .faults import Fate
from .state import EXTERNAL, FLAVORS, QUOTAS, Cloud, RefusedError, Stack, Thing
from .templates import Part, holds, resolve

_ACT_SECONDS = 5.0
Make = Callable[[Cloud, Stack, Mapping[str, Any]], Thing]


def begin_create(cloud: Cloud, stack: Stack) -> None:
    """Make what can be made; how it ended shows a while later."""
    _make_all(cloud, stack, "CREATE")


def begin_update(cloud: Cloud, stack: Stack) -> None:
    """Make what is missing or failed."""
    stack.becomes("UPDATE_IN_PROGRESS", "Stack UPDATE started")
    for name, thing in list(stack.made.items()):
        if cloud.things["servers"].get(thing["id"], {}).get("status") == "ERROR" and "FAILED" in stack.states[name][0]:
            cloud.delete_server_by_id(thing["id"])  # Heat replaces a server that failed and is in ERROR
        gone = thing["kind"] in cloud.things and thing["id"] not in cloud.things[thing["kind"]]
        if gone or name in stack.unhealthy:
            _unmake(cloud, stack.made.pop(name))
    stack.unhealthy.clear()
    _rebuild(cloud, stack)
    _make_all(cloud, stack, "UPDATE")


def _rebuild(cloud: Cloud, stack: Stack) -> None:
    """Servers whose image is another now get its disk: Heat's image_update_policy is REBUILD."""
    for part in stack.parts:
        server = cloud.things["servers"].get(stack.made.get(".".join(part.path), {}).get("id", ""))
        wanted = resolve(part.properties.get("image"), cloud.scope(stack)) if server else None
        if server and wanted != server["image"]["id"]:
            server |= {"image": {"id": wanted}, "status": "BUILD", "serves": inf, "disks": server.get("disks", 1) + 1}


def begin_delete(cloud: Cloud, stack: Stack) -> None:
    """Delete the resources, the last first."""
    stack.becomes("DELETE_IN_PROGRESS", "Stack DELETE started")
    stack.turn += 1
    _soon(cloud, stack, cloud.setup.build.delete, partial(_delete_all, cloud, stack))


def act(cloud: Cloud, stack: Stack, action: str) -> None:
    """Suspend, resume or check what is there."""
    stack.turn += 1
    stack.becomes(f"{action}_IN_PROGRESS", f"Stack {action} started")
    _soon(cloud, stack, _ACT_SECONDS, partial(_acted, cloud, stack, action))


def _acted(cloud: Cloud, stack: Stack, action: str) -> None:
    gone = [made for made in stack.made.values() if made["kind"] and made["id"] not in cloud.things[made["kind"]]]
    if gone:
        return stack.becomes(f"{action}_FAILED", f"Resource {action} failed: NotFound: {gone[0]['id']}")
    for made in stack.made.values():
        if server := cloud.things["servers"].get(made["id"]):
            server["status"] = "SUSPENDED" if action == "SUSPEND" else "ACTIVE"
    return stack.becomes(f"{action}_COMPLETE", f"Stack {action} completed successfully")


def _soon(cloud: Cloud, stack: Stack, seconds: float, event: Callable[[], None]) -> None:
    turn = stack.turn
    cloud.later(seconds, lambda: event() if stack.turn == turn else None)


def _make_all(cloud: Cloud, stack: Stack, action: str) -> None:
    stack.turn += 1
    build = cloud.setup.build
    for part in stack.parts:
        rebuilt = action == "UPDATE" and part.kind == "OS::Nova::Server" and _is_building(cloud, stack, part)
        if (".".join(part.path) in stack.made and not rebuilt) or not holds(part.condition, cloud.scope(stack)):
            continue
        fate = cloud.fate(stack, part.kind, action)
        if fate and fate.reason is None:
            _note(cloud, stack, part, f"{action}_IN_PROGRESS", "state changed")
            return
        try:
            if not rebuilt:
                _make(cloud, stack, part, fate)
            elif fate:
                cloud.things["servers"][stack.made[".".join(part.path)]["id"]]["status"] = "ERROR"
                raise RefusedError(fate.reason)
        except RefusedError as exc:
            reason = str(exc).format(resource=part.name)
            _note(cloud, stack, part, f"{action}_FAILED", reason)
            _soon(cloud, stack, build.create / 2, partial(_fail, stack, action, reason))
            return
        _note(cloud, stack, part, f"{action}_COMPLETE", "state changed")
    _soon(cloud, stack, build.create, partial(_complete, cloud, stack, action))


def _is_building(cloud: Cloud, stack: Stack, part: Part) -> bool:
    made = stack.made.get(".".join(part.path), {})
    return bool(cloud.things["servers"].get(made.get("id", ""), {}).get("status") == "BUILD")


def _make(cloud: Cloud, stack: Stack, part: Part, fate: Fate | None) -> None:
    kind, make = _MAKERS.get(part.kind, ("", _nothing))
    cloud.acting = stack.project
    outer = cloud.scope(stack)
    given = resolve(part.given, outer)
    scope = replace(outer, parameters={**outer.parameters, **given})
    named = {"name": f"{stack.name}-{part.name}-{len(stack.made):012}"}  # as Heat names what has no name of its own
    thing = make(cloud, stack, {**named, **resolve(part.properties, scope)})
    stack.made[".".join(part.path)] = {"kind": kind, **thing}
    if fate:  # the thing is there, and is no good
        if kind == "servers":
            cloud.things[kind][thing["id"]]["status"] = "ERROR"
        raise RefusedError(fate.reason)


def _note(cloud: Cloud, stack: Stack, part: Part, status: str, reason: str) -> None:
    stack.states[".".join(part.path)] = (status, reason, cloud.now())


def _fail(stack: Stack, action: str, reason: str) -> None:
    stack.becomes(f"{action}_FAILED", f"Resource {action} failed: {reason}")


def _complete(cloud: Cloud, stack: Stack, action: str) -> None:
    for made in stack.made.values():
        server = cloud.things["servers"].get(made["id"])
        if server and server["status"] == "BUILD":
            boot = inf if cloud.fate(stack, "OS::Nova::Server", "BOOT") else cloud.setup.build.boot
            server |= {"status": "ACTIVE", "serves": cloud.clock.now() + boot}
            server["nobodys"] = cloud.fate(stack, "OS::Nova::Server", "DATA") is not None
    stack.becomes(f"{action}_COMPLETE", f"Stack {action} completed successfully")


def _delete_all(cloud: Cloud, stack: Stack) -> None:
    for path in reversed([*stack.made]):
        thing = stack.made[path]
        part = next(part for part in stack.parts if ".".join(part.path) == path)
        fate = cloud.fate(stack, part.kind, "DELETE")
        if fate and fate.reason is None:
            return None
        try:
            if fate:
                raise RefusedError(fate.reason)
            _unmake(cloud, thing)
        except RefusedError as exc:
            reason = str(exc).format(resource=part.name)
            _note(cloud, stack, part, "DELETE_FAILED", reason)
            return stack.becomes("DELETE_FAILED", f"Resource DELETE failed: {reason}")
        del stack.made[path]
        _note(cloud, stack, part, "DELETE_COMPLETE", "state changed")
    cloud.stacks.pop(stack.id, None)
    return None


def _unmake(cloud: Cloud, thing: Thing) -> None:
    kind, name = thing["kind"], thing["id"]
    if kind == "networks":
        _unmake_network(cloud, name)
    if kind == "floatingips" and name in cloud.things[kind]:
        cloud.give_back(thing["floating_ip_address"])
    if kind == "routers" and name in cloud.things[kind] and thing["gateway"]:
        cloud.give_back(thing["gateway"])
    if kind == "ports" and (port := cloud.things[kind].get(name)):
        inner = {fixed["ip_address"] for fixed in port.get("fixed_ips") or ()}
        cloud.inner.get(port["network_id"], set()).difference_update(inner)
    if kind == "servers":
        cloud.delete_server_by_id(name)
    elif kind:
        cloud.remove(kind, name)
    for other, key in _BELONGS.get(kind, ()):
        for each in [each["id"] for each in cloud.things[other].values() if each.get(key) == name]:
            cloud.remove(other, each)


_BELONGS = {"security_groups": (("security_group_rules", "security_group_id"),)}


def _unmake_network(cloud: Cloud, name: str) -> None:
    ports = [port for port in cloud.things["ports"].values() if port.get("network_id") == name]
    if any(port.get("device_owner") != "network:dhcp" for port in ports):
        raise RefusedError(
            f"Conflict: resources.{{resource}}: Unable to complete operation on network {name}. There are one or more "
            "ports still in use on the network."
        )
    for port in ports:
        cloud.remove("ports", port["id"])


# What each type makes. Neutron and Nova refuse in these words when a quota is used up.


def _checked(cloud: Cloud, kind: str, singular: str, more: int = 1) -> None:
    if not cloud.has_room(QUOTAS[kind], more):
        raise RefusedError(
            f"OverQuotaClient: resources.{{resource}}: Quota exceeded for resources: ['{singular}'].\n"
            "Neutron server returns request_ids: ['req-0']"
        )


def _nothing(cloud: Cloud, _stack: Stack, _properties: Mapping[str, Any]) -> Thing:
    return {"id": cloud.new_id()}


def _plain(kind: str, singular: str, *keep: str) -> Make:
    def make(cloud: Cloud, _stack: Stack, properties: Mapping[str, Any]) -> Thing:
        _checked(cloud, kind, singular)
        kept = {name: properties[name] for name in ("name", "tags", "description", *keep) if properties.get(name)}
        return {"id": cloud.add(kind, kept)}

    return make


def _subnet(cloud: Cloud, stack: Stack, properties: Mapping[str, Any]) -> Thing:
    _checked(cloud, "ports", "port")
    made = _plain("subnets", "subnet", "cidr")(cloud, stack, properties)
    cloud.things["subnets"][made["id"]]["network_id"] = properties.get("network")
    cloud.things["networks"][properties["network"]]["cidr"] = properties["cidr"]
    cloud.add("ports", {"network_id": properties.get("network"), "device_owner": "network:dhcp"})
    return {**made, "network_id": properties.get("network")}


def _router(cloud: Cloud, stack: Stack, properties: Mapping[str, Any]) -> Thing:
    outside = "external_gateway_info" in properties
    _checked(cloud, "routers", "router")
    gateway = cloud.take_address() if outside else ""
    made = _plain("routers", "router")(cloud, stack, properties)
    return {**made, "gateway": gateway}


def _interface(cloud: Cloud, _stack: Stack, properties: Mapping[str, Any]) -> Thing:
    _checked(cloud, "ports", "port")
    subnet = cloud.things["subnets"].get(properties.get("subnet") or "", {})
    where = {"network_id": subnet.get("network_id"), "device_id": properties.get("router")}
    return {"id": cloud.add("ports", {**where, "device_owner": "network:router_interface"})}


def _group(cloud: Cloud, stack: Stack, properties: Mapping[str, Any]) -> Thing:
    rules = properties.get("rules") or []
    _checked(cloud, "security_group_rules", "security_group_rule", len(rules) + 2)
    made = _plain("security_groups", "security_group")(cloud, stack, properties)
    for rule in (*rules, {"direction": "egress"}, {"direction": "egress", "ethertype": "IPv6"}):
        cloud.add_rule(made["id"], rule)
    return made


def _port(cloud: Cloud, stack: Stack, properties: Mapping[str, Any]) -> Thing:
    made = _plain("ports", "port")(cloud, stack, properties)
    port = cloud.things["ports"][made["id"]]
    network = properties.get("network")
    port |= {"network_id": network, "security_groups": properties.get("security_groups") or []}
    asked = (properties.get("fixed_ips") or [{}])[0].get("ip_address")
    port |= {"fixed_ips": [{"ip_address": asked or _inner_address(cloud, properties["network"])}]}
    return made


def _inner_address(cloud: Cloud, network: str) -> str:
    """The first address of the network that no other port has."""
    taken = cloud.inner.setdefault(network, set())
    hosts = ip_network(cloud.things["networks"][network]["cidr"]).hosts()
    address = next(str(host) for host in islice(hosts, 1, None) if str(host) not in taken)  # the first is the router's
    taken.add(address)
    return address


def _floating_ip(cloud: Cloud, stack: Stack, properties: Mapping[str, Any]) -> Thing:
    _checked(cloud, "floatingips", "floatingip")
    address = cloud.take_address()
    cloud.behind[address] = stack
    description = (properties.get("value_specs") or {}).get("description", "")
    about = {"floating_ip_address": address, "port_id": properties.get("port_id"), "description": description}
    made = cloud.add("floatingips", {**about, "floating_network_id": EXTERNAL, "tags": properties.get("tags") or []})
    return {"id": made, "floating_ip_address": address}


def _server(cloud: Cloud, stack: Stack, properties: Mapping[str, Any]) -> Thing:
    wanted = properties.get("flavor")
    flavor = next((each for each in FLAVORS if wanted in (each["id"], each["name"])), FLAVORS[1])
    for name, more in (("instances", 1), ("vCPUs", flavor["vcpus"]), ("RAM (MiB)", flavor["ram"])):
        assert isinstance(more, int)
        if not cloud.has_room(name, more):
            word = {"instances": "instances", "vCPUs": "cores", "RAM (MiB)": "ram"}[name]
            raise RefusedError(
                f"Forbidden: resources.{{resource}}: Quota exceeded for {word}: Requested {more}, but already used "
                f"{cloud.used[name]} of {cloud.limit(name)} {word} (HTTP 403) (Request-ID: req-0)"
            )
    cloud.use(stack.project, "vCPUs", flavor["vcpus"])
    cloud.use(stack.project, "RAM (MiB)", flavor["ram"])
    about = {"name": properties.get("name") or stack.name, "status": "BUILD", "flavor": flavor, "stack": stack.name}
    image = {"id": properties.get("image")}
    made = cloud.add("servers", {**about, "metadata": properties.get("metadata") or {}, "image": image})
    for each in properties.get("networks") or ():
        if port := cloud.things["ports"].get(each.get("port") or ""):
            port["device_id"] = made
    return {"id": made}


_MAKERS: Mapping[str, tuple[str, Make]] = {
    "OS::Neutron::Net": ("networks", _plain("networks", "network")),
    "OS::Neutron::Subnet": ("subnets", _subnet),
    "OS::Neutron::Router": ("routers", _router),
    "OS::Neutron::RouterInterface": ("ports", _interface),
    "OS::Neutron::SecurityGroup": ("security_groups", _group),
    "OS::Neutron::SecurityGroupRule": (
        "security_group_rules",
        _plain("security_group_rules", "security_group_rule", "security_group_id"),
    ),
    "OS::Neutron::Port": ("ports", _port),
    "OS::Neutron::FloatingIP": ("floatingips", _floating_ip),
    "OS::Nova::Server": ("servers", _server),
}
