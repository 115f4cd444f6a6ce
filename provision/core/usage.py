"""What a cohort has used so far, student by student, and what the next one takes; from what the cloud shows now."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from provision.core.capacity import needs
from provision.core.drift import Parts
from provision.core.plan import Stack
from provision.core.servers import Server
from provision.core.shape import ROOM, Shape

GIB = 1024  # MiB


@dataclass(frozen=True)
class Usage:
    """One machine's: `hours` since it was made, asleep or not. Memory and disk in GiB hours."""

    student: str
    state: str
    flavor: str
    hours: float
    vcpu_hours: float
    memory_hours: float
    disk_hours: float
    floating_ips: int


def usage(stacks: Iterable[Stack], parts: Parts, now: datetime) -> tuple[Usage, ...]:
    """What each machine of a cohort has used: students' in order, gateways' after them; none has used nothing."""
    servers = {parts.owners[server.id]: server for server in parts.servers if server.id in parts.owners}
    found = [_usage(servers[stack.student], stack.student, parts, now) for stack in stacks if stack.student in servers]
    return tuple(found)


def _usage(server: Server, student: str, parts: Parts, now: datetime) -> Usage:
    made = datetime.fromisoformat(server.created).replace(tzinfo=UTC) if server.created else now
    hours = max(0.0, (now - made).total_seconds() / 3600)
    ports = {port.id for port in parts.ports if port.device == server.id}
    return Usage(
        student,
        server.status,
        server.flavor,
        hours,
        hours * server.vcpus,
        hours * server.memory / GIB,
        hours * server.disk,
        sum(address.port in ports for address in parts.addresses),
    )


def total(used: Collection[Usage]) -> Usage:
    """All of it together."""
    return Usage(
        "all",
        f"{len(used)} machines",
        "",
        sum(each.hours for each in used),
        sum(each.vcpu_hours for each in used),
        sum(each.memory_hours for each in used),
        sum(each.disk_hours for each in used),
        sum(each.floating_ips for each in used),
    )


def next_needs(
    students: int, servers: Iterable[Server], shape: Shape, days: tuple[date | None, date | None]
) -> dict[str, int]:
    """What `students` take of a project's quota, on machines as most of `servers` are; and their hours, from first
    to last of `days`, if both are stated."""
    sizes = Counter((server.vcpus, server.memory, server.disk) for server in servers)
    (vcpus, memory, disk) = sizes.most_common(1)[0][0] if sizes else (0, 0, 0)
    shared = -(-students // ROOM) if shape.shared else 0
    needed = needs(students, shared=shared, shape=shape, vcpus=vcpus, memory=memory)
    first, last = days
    if not first or not last:
        return needed
    hours = ((last - first).days + 1) * 24 * needed["instances"]
    used = {"machine hours": hours, "vCPU hours": hours * vcpus, "memory GiB hours": hours * memory // GIB}
    return {**needed, **used, "disk GiB hours": hours * disk}
