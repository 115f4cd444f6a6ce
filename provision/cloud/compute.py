"""Nova's flavors, limits, and servers."""

from collections import Counter
from typing import TYPE_CHECKING

from provision.cloud.connection import translated
from provision.core.capacity import Quota
from provision.core.flavors import Flavor

if TYPE_CHECKING:
    from openstack.connection import Connection


def list_flavors(connection: "Connection") -> tuple[Flavor, ...]:
    """The flavors that the project may use, from small to large."""
    with translated("Listing the flavors"):
        return tuple(
            sorted(
                Flavor(flavor.ram, flavor.vcpus, flavor.disk, flavor.name, flavor.id)
                for flavor in connection.compute.flavors()
            )
        )


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
