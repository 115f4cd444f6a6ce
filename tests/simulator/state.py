"""What the simulated cloud holds, and what becomes of it as time passes."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from threading import RLock
from typing import Any
from uuid import UUID

from provision.clock import Clock

from . import templates
from .faults import Fate, Fault, Happening, Setup
from .templates import Part

PROJECT, USER = "b" * 32, "a" * 32
EXTERNAL = "3f0c5a52-0000-4000-8000-000000000001"
Thing = dict[str, Any]

# Neutron's and Nova's collections, and the names of core/capacity.py for what counts against a quota.
QUOTAS = {
    "networks": "networks",
    "subnets": "subnets",
    "routers": "routers",
    "ports": "ports",
    "security_groups": "security groups",
    "security_group_rules": "security group rules",
    "floatingips": "floating IPs",
    "servers": "instances",
}
FLAVORS: tuple[Thing, ...] = (
    {"id": "1", "name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1},
    {"id": "2", "name": "m1.small", "vcpus": 1, "ram": 2048, "disk": 20},
    {"id": "3", "name": "m1.medium", "vcpus": 2, "ram": 4096, "disk": 40},
)


class RefusedError(Exception):
    """A resource that cannot be made or deleted, in the words that Heat would put into its reason."""


@dataclass(eq=False)
class Stack:
    """A stack with its resources by name: (type, collection, id of the thing there)."""

    id: str
    name: str
    tags: tuple[str, ...]
    parameters: Mapping[str, Any]
    template: Mapping[str, Any]
    parts: list[Part]
    created: str
    description: str
    status: str = "CREATE_IN_PROGRESS"
    reason: str = "Stack CREATE started"
    updated: str | None = None
    made: dict[str, Thing] = field(default_factory=dict)
    states: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # status, reason, when
    project: str = PROJECT
    unhealthy: set[str] = field(default_factory=set)  # what the next update makes anew
    turn: int = 0  # a new action makes what the one before had begun be forgotten
    listed: str | None = None  # as a list shows it, until something changes

    def becomes(self, status: str, reason: str) -> None:
        self.status, self.reason, self.listed = status, reason, None


@dataclass(eq=False)
class Cloud:
    """Everything; `advance` first, under `lock`."""

    setup: Setup
    clock: Clock
    lock: RLock = field(default_factory=RLock)
    stacks: dict[str, Stack] = field(default_factory=dict)
    things: dict[str, dict[str, Thing]] = field(default_factory=lambda: {kind: {} for kind in QUOTAS})
    images: dict[str, Thing] = field(default_factory=dict)
    behind: dict[str, Stack] = field(default_factory=dict)  # the stack to which a public address leads
    inner: dict[str, set[str]] = field(default_factory=dict)  # the addresses that ports have, by network
    tokens: dict[str, float] = field(default_factory=dict)  # until when each is good
    scopes: dict[str, str] = field(default_factory=dict)  # the project of each token
    acting: str = PROJECT  # the project of whoever asks just now, or of the stack at which Heat works
    projects: dict[str, Thing] = field(default_factory=dict)  # students' own
    users: dict[str, Thing] = field(default_factory=dict)
    grants: set[tuple[str, str, str]] = field(default_factory=set)  # project, user, role
    members: dict[tuple[str, str], str] = field(default_factory=dict)  # image and project, and what that said
    limits: dict[str, dict[str, int]] = field(default_factory=dict)  # quotas of students' projects
    theirs: dict[str, Counter[str]] = field(default_factory=dict)  # what they have of them
    used: Counter[str] = field(default_factory=Counter)  # by the names of core/capacity.py
    taken: Counter[str] = field(default_factory=Counter)  # by somebody else, for the moment
    dice: random.Random = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count(1)
        self._ids = random.Random(0)  # noqa: S311  # no secret
        self.begin(self.setup)
        self._addresses = [*range(self.setup.pool, 0, -1)]
        theirs = {"project_id": "c" * 32}
        self.add("networks", {"id": EXTERNAL, "name": "public", "router:external": True, "mtu": 1500, **theirs})
        self.add("subnets", {"network_id": EXTERNAL, "ip_version": 4, "cidr": "127.128.0.0/9", **theirs})

    def begin(self, setup: Setup) -> None:
        """Be as `setup` says from now on; what is there stays."""
        self.setup, self.began = setup, self.clock.now()
        self.dice = random.Random(setup.seed)  # noqa: S311  # no secret
        self._met: dict[Fate, int] = {}
        self.taken.clear()
        for server in self.things["servers"].values():
            server["serves"] = min(server.get("serves", inf), self.clock.now())  # what never got ready does so now
            server["nobodys"] = False
        self._expected: dict[Happening, int] = {}
        for each in setup.happenings:
            self.expect(each)

    # Time

    def now(self) -> str:
        """The time as the services write it."""
        return datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def later(self, seconds: float, event: Callable[[], object]) -> None:
        """Let something happen in a while."""
        heappush(self._events, (self.clock.now() + seconds, next(self._numbers), event))

    def advance(self) -> None:
        """Let happen what is due."""
        while self._events and self._events[0][0] <= self.clock.now():
            heappop(self._events)[2]()

    def expect(self, happening: Happening) -> None:
        """Let it happen in its time."""
        if happening.after is None:
            self._expected[happening] = happening.skip
        else:
            self.later(happening.after, partial(happening.do, self))

    def happen(self, call: str) -> None:
        """Let happen what waits for a call like this one."""
        for each in [each for each in [*self._expected] if re.search(each.call, call)]:
            self._expected[each] -= 1
            if self._expected[each] < 0:
                del self._expected[each]
                each.do(self)

    def new_id(self) -> str:
        """An id that looks like OpenStack's, and the same one in every run."""
        return str(UUID(int=self._ids.getrandbits(128), version=4))

    # Things and quotas

    def add(self, kind: str, thing: Thing) -> str:
        """Keep a new thing; its id."""
        whole = self.owned({"id": self.new_id(), **thing})
        self.things[kind][whole["id"]] = whole
        self.use(whole["project_id"], QUOTAS[kind], 1)
        return str(whole["id"])

    def remove(self, kind: str, name: str) -> None:
        """Forget a thing, if it is there."""
        if thing := self.things[kind].pop(name, None):
            self.use(thing["project_id"], QUOTAS[kind], -1)

    def use(self, project: str, name: str, more: int) -> None:
        """Count what a project has."""
        counted = self.used if project == PROJECT else self.theirs.setdefault(project, Counter())
        counted[name] += more

    def greet(self, project: str) -> None:
        """Neutron gives each project its own group, with four rules, as soon as it is asked something for it."""
        groups = self.things["security_groups"].values()
        if project in self.projects and not any(each["project_id"] == project for each in groups):
            group = self.add("security_groups", {"name": "default", "project_id": project, "tenant_id": project})
            for way in ("ingress", "egress"):
                for kind in ("IPv4", "IPv6"):
                    rule = {"direction": way, "ethertype": kind, "security_group_id": group, "project_id": project}
                    self.add("security_group_rules", rule)

    def owned(self, thing: Thing) -> Thing:
        """With what all things have."""
        common = {"name": "", "description": "", "status": "ACTIVE", "tags": [], "revision_number": 1}
        return {
            **common,
            "project_id": self.acting,
            "tenant_id": self.acting,
            "created_at": self.now(),
            "updated_at": self.now(),
            **thing,
        }

    def limit(self, name: str) -> int:
        """The quota of that name; -1 if there is none."""
        return self.setup.stack_limit if name == "stacks" else self.setup.quotas.get(name, -1)

    def has_room(self, name: str, more: int = 1) -> bool:
        """Whether the quota allows more."""
        if self.acting != PROJECT:
            have = self.theirs.get(self.acting, Counter())[name]
            return not 0 <= self.limits.get(self.acting, {}).get(name, -1) < have + more
        return not 0 <= self.limit(name) < self.used[name] + self.taken[name] + more

    def take_all_but(self, left: int, name: str) -> None:
        """Somebody else in the project takes what is left of a quota, or of the "addresses", but for `left`."""
        used = len(self.stacks) if name == "stacks" else self.used[name]
        free = len(self._addresses) if name == "addresses" else self.limit(name) - used
        self.taken[name] = free - left

    def take_address(self) -> str:
        """A public address: of the loopback network, so that no traffic leaves this machine."""
        if len(self._addresses) <= self.taken["addresses"]:
            raise RefusedError(
                "IpAddressGenerationFailureClient: resources.{resource}: No more IP addresses available on network "
                f"{EXTERNAL}."
            )
        number = self._addresses.pop()
        return f"127.{128 + number // 65536}.{number // 256 % 256}.{number % 256}"

    def give_back(self, address: str) -> None:
        """Let an address be had again."""
        high, middle, low = (int(part) for part in address.split(".")[1:])
        self._addresses.append((high - 128) * 65536 + middle * 256 + low)

    def scope(self, stack: Stack) -> templates.Scope:
        """What the functions of a stack's template look up."""
        things = {
            path.rpartition(".")[2]: {**self.things.get(made["kind"], {}).get(made["id"], {}), **made}
            for path, made in stack.made.items()
        }
        return templates.scope(stack.template, stack.parameters, things)

    # Fates

    def fate(self, stack: Stack, kind: str, action: str) -> Fate | None:
        """What is to become of this stack at this resource, if anything; it counts as met."""
        for fate in self.setup.fates:
            if (fate.at, fate.action) != (kind, action) or not re.search(fate.stacks, stack.name):
                continue
            if self._met.get(fate, 0) < fate.times and (fate.share >= 1 or self.dice.random() < fate.share):
                self._met[fate] = self._met.get(fate, 0) + 1
                return fate
        return None

    def serves(self, address: str) -> str:
        """What a machine answers at that public address: "yes", "no", or "whose?" if it does not know its student."""
        made = self.behind[address].made.values() if address in self.behind else ()
        servers = [self.things["servers"].get(each["id"], {}) for each in made if each["kind"] == "servers"]
        up = [
            each for each in servers if each.get("status") == "ACTIVE" and each.get("serves", inf) <= self.clock.now()
        ]
        return "no" if not up else "whose?" if up[0].get("nobodys") else "yes"

    def suffer(self, fault: Fault, seconds: float) -> None:
        """Meet a fault from now on, and for so long."""
        age = self.clock.now() - self.began
        faults = (*self.setup.faults, replace(fault, begin=age, end=age + seconds))
        self.setup = replace(self.setup, faults=faults)

    # What happens behind everybody's back

    def stacks_named(self, name: str) -> list[Stack]:
        """All of that name: there may be two."""
        return [stack for stack in self.stacks.values() if stack.name == name]

    def thing_of(self, name: str, kind: str) -> Thing:
        """What the stack `name` has of a collection."""
        stack = self.stacks_named(name)[0]
        return next(self.things[kind][made["id"]] for made in stack.made.values() if made["id"] in self.things[kind])

    def delete_server(self, name: str) -> None:
        """Somebody deletes the server of stack `name` in Nova."""
        self.delete_server_by_id(self.thing_of(name, "servers")["id"])

    def delete_server_by_id(self, name: str) -> None:
        """A server goes, with what it took of the quotas."""
        if server := self.things["servers"].get(name):
            self.use(server["project_id"], "vCPUs", -server["flavor"]["vcpus"])
            self.use(server["project_id"], "RAM (MiB)", -server["flavor"]["ram"])
            self.remove("servers", name)

    def attach_port(self, name: str) -> str:
        """Somebody makes a port by hand in the network of stack `name`."""
        return self.add("ports", {"name": "by hand", "network_id": self.thing_of(name, "networks")["id"]})

    def open_rule(self, name: str) -> str:
        """Somebody opens all of TCP to the world in the security group of stack `name`."""
        group = self.thing_of(name, "security_groups")["id"]
        return self.add_rule(group, {"protocol": "tcp", "remote_ip_prefix": "0.0.0.0/0"})

    def add_rule(self, group: str, said: Mapping[str, Any]) -> str:
        """A security group's rule, with all that Neutron shows of one."""
        ports = {key: int(said[key]) if said.get(key) else None for key in ("port_range_min", "port_range_max")}
        usual = {"direction": "ingress", "ethertype": "IPv4", "protocol": None, "remote_ip_prefix": None}
        whole = {**usual, "remote_group_id": None, **said, **ports, "security_group_id": group}
        return self.add("security_group_rules", whole)

    def parse(self, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any], list[Part]]:
        """The template, the parameters with their defaults, and the parts that a request for a stack asks for."""
        environment = body.get("environment") or {}
        environment = templates.read(environment) if isinstance(environment, str) else environment
        files = body.get("files") or {}
        for name in body.get("environment_files") or ():
            environment = {**environment, **templates.read(files[name])}
        template = body["template"]
        template = templates.read(template) if isinstance(template, str) else template
        asked = template.get("parameters") or {}
        parameters = {name: about["default"] for name, about in asked.items() if "default" in about}
        parameters |= {**(environment.get("parameters") or {}), **(body.get("parameters") or {})}
        registry = environment.get("resource_registry") or {}
        return template, parameters, templates.parts(template, registry, files)
