"""What is wrong with a cohort's machines that its stacks do not show, and what heals it. All from a few list calls."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from provision.core.plan import Action, Keep, Remove, Replace, Stack, Wait
from provision.core.servers import Server
from provision.core.shape import ANYWHERE, Shape, sources

# Heat gives a stack up after its timeout (cloud/stacks.py: 30 minutes). One that is later than this was forgotten.
STUCK = timedelta(minutes=40)


@dataclass(frozen=True)
class Rule:
    """What a security group lets in. `source` is a network, or the id of a group."""

    protocol: str
    low: int | None
    high: int | None
    source: str
    ethertype: str = "IPv4"

    def __str__(self) -> str:
        ports = "" if self.low is None else f" {self.low}" if self.low == self.high else f" {self.low}-{self.high}"
        return f"{self.protocol}{ports} from {self.source}"


@dataclass(frozen=True)
class Port:
    """A machine's port: `device` is its server's id, `address` the inner one."""

    id: str
    name: str
    device: str
    address: str


@dataclass(frozen=True)
class FloatingIP:
    """A public address, and the port that it leads to."""

    id: str
    address: str
    port: str


@dataclass(frozen=True)
class Group:
    """A security group, and the id of each rule that lets something in."""

    id: str
    name: str
    rules: Mapping[Rule, str]


@dataclass(frozen=True)
class Parts:
    """What a cohort's stacks made, as the cloud shows it. `owners` has the student of each server, by its id."""

    servers: tuple[Server, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    addresses: tuple[FloatingIP, ...] = ()
    groups: tuple[Group, ...] = ()


Cure = Literal["replace", "start", "reboot", "address", "update", "open", "close", "remove"]


@dataclass(frozen=True)
class Repair:
    """One thing that is wrong, and what heals it. `loses` says that what the student did would be lost by it.

    `server` is the machine's, where there is one that matters.
    """

    student: str
    cure: Cure
    why: str
    stack: Stack
    loses: bool = False
    server: Server | None = None
    group: Group | None = None
    rule: Rule | None = None


def plan_repair(
    actions: Iterable[Action], shared: Collection[Stack], parts: Parts, shape: Shape, now: datetime
) -> tuple[Repair, ...]:
    """What is wrong, of all that stands. Who has no stack is a launch's to see to; who sleeps is left to sleep."""
    found: list[Repair] = []
    for action in actions:
        match action:
            case Replace(stack=stack):
                found.append(Repair(stack.student, "replace", f"its stack is {stack.status}", stack))
            case Remove(stack=stack):
                found.append(Repair(stack.student, "remove", "a second stack of the same name", stack))
            case Wait(stack=stack):
                found += _stuck(stack, now)
            case Keep(stack=stack):
                found += _of_machine(stack, parts, shape)
                if not shape.shared:
                    found += _of_rules(stack, "security_group", wanted_rules(shape), parts)
            case _:
                pass
    for stack in shared:
        found += _of_shared(stack, parts, shape)
    return tuple(found)


def _stuck(stack: Stack, now: datetime) -> Iterator[Repair]:
    """Heat's own engine was killed at the work: it says IN_PROGRESS for ever."""
    if not (told := stack.updated or stack.created):
        return
    since = datetime.fromisoformat(told).replace(tzinfo=UTC)
    if now - since > STUCK:
        making = stack.status == "CREATE_IN_PROGRESS"
        why = f"its stack is {stack.status} since {since:%Y-%m-%d %H:%M} UTC"
        yield Repair(stack.student, "replace" if making else "update", why, stack)


def _of_machine(stack: Stack, parts: Parts, shape: Shape) -> Iterator[Repair]:
    student = stack.student
    server = _server(stack, parts)
    if server is None:
        yield Repair(student, "replace", "its server is gone", stack, loses=True)
        return
    yield from _of_server(stack, server)
    port = next((each for each in parts.ports if each.device == server.id), None)
    if port is None:
        yield Repair(student, "replace", "its server has lost its port", stack, loses=True)
    elif shape.floating_ip and all(each.port != port.id for each in parts.addresses):
        yield Repair(student, "address", "its floating IP is gone", stack)
    elif not stack.complete and not server.asleep:
        yield Repair(student, "update", f"its stack is {stack.status}", stack)


def _server(stack: Stack, parts: Parts) -> Server | None:
    return next((each for each in parts.servers if parts.owners.get(each.id) == stack.student), None)


def _of_server(stack: Stack, server: Server) -> Iterator[Repair]:
    if server.task:
        return
    if server.status in ("SHUTOFF", "PAUSED"):
        yield Repair(stack.student, "start", f"its server is {server.status}", stack, server=server)
    elif server.status == "ERROR":
        words = f"its server is in ERROR{server.fault and f': {server.fault}'}"
        yield Repair(stack.student, "reboot", words, stack, server=server)


def _of_shared(stack: Stack, parts: Parts, shape: Shape) -> Iterator[Repair]:
    if server := _server(stack, parts):
        yield from _of_server(stack, server)
    gateway = next((each for each in parts.ports if each.name.startswith(f"{stack.name}-gateway_port-")), None)
    if shape.gateway and gateway is None:
        return  # without its address nobody knows what is to be open
    students = wanted_rules(shape, gateway.address if gateway else "")
    yield from _of_rules(stack, "security_group", students, parts)
    if shape.gateway:
        yield from _of_rules(stack, "gateway_group", gateway_rules(shape), parts)


def _of_rules(stack: Stack, resource: str, wanted: Collection[Rule], parts: Parts) -> Iterator[Repair]:
    """Heat names what it makes STACK-RESOURCE-RANDOM."""
    server = _server(stack, parts)
    for group in parts.groups:
        if group.name.startswith(f"{stack.name}-{resource}-"):
            for rule in sorted({*wanted} - {*group.rules}, key=str):
                why = f"{rule} should be open"
                yield Repair(stack.student, "open", why, stack, server=server, group=group, rule=rule)
            for rule in sorted({*group.rules} - {*wanted}, key=str):
                yield Repair(
                    stack.student, "close", f"{rule} is open, and should not be", stack, group=group, rule=rule
                )


def wanted_rules(shape: Shape, gateway: str = "") -> frozenset[Rule]:
    """What machines' security group lets in, as heat/ has it; behind a gateway, from its inner address alone."""
    opened = sources(shape)
    web = (f"{gateway}/32",) if shape.gateway else opened.web
    ssh = (f"{gateway}/32",) if shape.gateway else opened.ssh
    tcp = {Rule("tcp", port, port, source) for source in web for port in (80, 443)}
    return frozenset({_TOO_BIG, *tcp, *(Rule("tcp", 22, 22, source) for source in ssh)})


def gateway_rules(shape: Shape) -> frozenset[Rule]:
    """What a gateway's security group lets in, likewise."""
    opened = sources(shape)
    web = {Rule("tcp", 20001, 20254, source) for source in opened.web}
    return frozenset({_TOO_BIG, *web, *(Rule("tcp", 30001, 30254, source) for source in opened.ssh)})


_TOO_BIG = Rule("icmp", 3, 4, ANYWHERE)
