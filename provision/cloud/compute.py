"""Nova's flavors, limits, and servers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.capacity import Quota
from provision.core.servers import Server
from provision.errors import NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection


@dataclass(frozen=True, order=True)
class Flavor:
    """A size of machine, ordered from small to large. Memory in MiB, disk in GiB; disk 0 is as large as the image."""

    memory: int
    vcpus: int
    disk: int
    name: str
    id: str


@dataclass(frozen=True)
class Size:
    """What a machine must at least have, in Flavor's units."""

    vcpus: int
    memory: int
    disk: int

    def fits(self, flavor: Flavor) -> bool:
        """Whether the flavor has at least this."""
        large = flavor.vcpus >= self.vcpus and flavor.memory >= self.memory
        return large and (flavor.disk >= self.disk or flavor.disk == 0)

    def __str__(self) -> str:
        return f"{self.vcpus} vCPU, {self.memory} MiB of memory, {self.disk} GiB of disk"


def choose_flavor(connection: "Connection", name: str | None, size: Size) -> Flavor:
    """The flavor `name`, or the smallest that fits `size`. Raises NotFoundError with those there are."""
    with translated("Listing the flavors"):
        flavors = sorted(
            Flavor(flavor.ram, flavor.vcpus, flavor.disk, flavor.name, flavor.id)
            for flavor in connection.compute.flavors()
        )
    if name is not None:
        chosen = next((flavor for flavor in flavors if name in (flavor.name, flavor.id)), None)
        problem = f"There is no flavor {name!r}."
    else:
        # A flavor without a disk of its own is taken only by name: many clouds forbid it.
        chosen = next((flavor for flavor in flavors if flavor.disk and size.fits(flavor)), None)
        problem = f"No flavor has {size}."
    if chosen is None:
        raise NotFoundError(f"{problem} Flavors: {', '.join(map(describe, flavors)) or 'none'}.")
    return chosen


def describe(flavor: Flavor) -> str:
    """The flavor's name with its numbers."""
    return f"{flavor.name} ({flavor.vcpus} vCPU, {flavor.memory} MiB, {flavor.disk} GiB)"


def compute_quotas(connection: "Connection") -> dict[str, Quota]:
    """The project's limits on machines, under the names of core/capacity.py."""
    with translated("Reading the compute quota"):
        limits = connection.compute.get_limits().absolute
    return {
        "instances": _quota(limits.instances, limits.instances_used),
        "vCPUs": _quota(limits.total_cores, limits.total_cores_used),
        "RAM (MiB)": _quota(limits.total_ram, limits.total_ram_used),
    }


def images_in_use(connection: "Connection") -> Counter[str]:
    """How many of the project's servers each image has, by the image's id."""
    with translated("Listing the servers"):
        images = [server.image for server in connection.compute.servers()]
    return Counter(image.id for image in images if image and image.id)  # one on a volume names no image


def observe_servers(connection: "Connection", tag: str) -> tuple[Server, ...]:
    """All servers that bear a cohort's tag, by one call for each thousand servers of the project."""
    with translated("Listing the servers"):
        return tuple(_server(each) for each in connection.compute.servers() if tag in (each.metadata or {}).values())


def _server(found: Any) -> Server:
    flavor = found.flavor  # as it was when the server was made, even if it is no more
    return Server(
        found.id,
        found.name,
        found.status,
        found.task_state or "",
        str((found.fault or {}).get("message", "")),
        found.created_at or "",
        flavor.original_name or flavor.id or "",
        flavor.vcpus or 0,
        flavor.ram or 0,
        flavor.disk or 0,
    )


def is_server(connection: "Connection", server: str) -> bool:
    """Whether there is a server of this id."""
    from openstack.exceptions import raise_from_response

    with translated("Reading a server"):
        response = connection.compute.get(f"/servers/{server}")
        if response.status_code == 404:
            return False
        raise_from_response(response)
        return True


def act_on_server(connection: "Connection", server: Server, action: str) -> None:
    """Ask Nova for an action such as "suspend", by its name in Nova's API. Nova does it after it has answered."""
    from openstack.exceptions import raise_from_response

    body: Mapping[str, Any] = {action: {"type": "HARD"} if action == "reboot" else None}
    with translated(f"The action {action} on server {server.name}"):
        raise_from_response(connection.compute.post(f"/servers/{server.id}/action", json=body))


def _quota(limit: int | None, used: int | None) -> Quota:
    """A limit that the cloud does not tell is taken as none: the create will say."""
    return Quota(-1 if limit is None else limit, used or 0)
