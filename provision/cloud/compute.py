"""Nova's flavors, limits, and servers."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.cloud.connection import translated
from provision.core.capacity import Quota
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


def _quota(limit: int | None, used: int | None) -> Quota:
    """A limit that the cloud does not tell is taken as none: the create will say."""
    return Quota(-1 if limit is None else limit, used or 0)
