"""Nova's flavors, limits, and servers."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.capacity import Quota
from provision.core.flavors import Flavor
from provision.core.servers import Server

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
        found.image.id or "" if found.image else "",
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


def console_log(connection: "Connection", server: Server, lines: int) -> str:
    """The last lines of a server's console; nothing where the cloud keeps none or shows none of one that sleeps."""
    from openstack.exceptions import raise_from_response

    with translated(f"Reading the console of {server.name}"):
        body = {"os-getConsoleOutput": {"length": lines}}
        response = connection.compute.post(f"/servers/{server.id}/action", json=body)
        if response.status_code in (403, 404, 409, 501):
            return ""
        raise_from_response(response)
        return str(response.json().get("output") or "")


def create_image(connection: "Connection", server: Server, name: str, properties: Mapping[str, str]) -> None:
    """Ask Nova to make an image of a server as it is. It bears the properties of the server's own image, too."""
    from openstack.exceptions import raise_from_response

    with translated(f"Making an image of server {server.name}"):
        body = {"createImage": {"name": name, "metadata": dict(properties)}}
        raise_from_response(connection.compute.post(f"/servers/{server.id}/action", json=body))


def rebuild_server(connection: "Connection", server: Server, image: str) -> None:
    """Ask Nova to write an image over a server's disk. Its addresses, its user-data and its id stay."""
    from openstack.exceptions import raise_from_response

    with translated(f"Rebuilding server {server.name}"):
        body = {"rebuild": {"imageRef": image}}
        raise_from_response(connection.compute.post(f"/servers/{server.id}/action", json=body))


def note_on_server(connection: "Connection", server: str, notes: Mapping[str, str]) -> None:
    """Write metadata on a server, beside what it has."""
    from openstack.exceptions import raise_from_response

    with translated("Writing on a server"):
        raise_from_response(connection.compute.post(f"/servers/{server}/metadata", json={"metadata": dict(notes)}))


def _quota(limit: int | None, used: int | None) -> Quota:
    """A limit that the cloud does not tell is taken as none: the create will say."""
    return Quota(-1 if limit is None else limit, used or 0)
