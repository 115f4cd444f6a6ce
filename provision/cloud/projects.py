"""Keystone's projects, users and roles: a project for each student, found by its tags, made, entered and removed."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.naming import student_of
from provision.core.tenancy import Project
from provision.errors import CloudError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

# How Nova and Neutron call the resources of core/capacity.py in their quotas.
_NOVA = {"instances": "instances", "vCPUs": "cores", "RAM (MiB)": "ram"}
_NEUTRON = {
    "networks": "network",
    "subnets": "subnet",
    "routers": "router",
    "ports": "port",
    "security groups": "security_group",
    "security group rules": "security_group_rule",
    "floating IPs": "floatingip",
}


def find_projects(connection: "Connection", tag: str) -> tuple[Project, ...]:
    """The projects of a cohort's students, by one call."""
    with translated("Listing the projects"):
        found = [_project(each) for each in _keystone(connection).projects.list(tags=tag)]
    return tuple(sorted((each for each in found if each is not None), key=lambda each: each.name))


def ensure_project(connection: "Connection", name: str, domain: str, *tags: str) -> Project:
    """A project of that name with these tags. Raises CloudError if there is one that is not the cohort's."""
    from keystoneauth1.exceptions import Conflict

    with translated(f"Making project {name}"):
        projects = _keystone(connection).projects
        try:
            made = projects.create(name, domain, description="Made by provision", tags=list(tags))
        except Conflict:
            (made,) = projects.list(name=name, domain=domain)
    project = _project(made)
    if project is None or not {*tags} <= {*made.tags}:
        raise CloudError(
            f"A project {name} exists, but it does not bear this cohort's tags ({', '.join(tags)}).",
            hint=f"If nobody needs it: openstack project delete {name}. Then run the same command again.",
        )
    return project


def find_user(connection: "Connection", name: str, domain: str) -> str | None:
    """The id of the user of that name, or of that id; None if there is none."""
    with translated(f"Looking for user {name}"):
        users = _keystone(connection).users
        found = users.list(name=name, domain=domain)
        if found:
            return str(found[0].id)
        with suppress(NotFoundError), translated(f"Looking for user {name}"):
            return str(users.get(name).id)
    return None


def create_user(connection: "Connection", name: str, domain: str, password: str, mark: str) -> str:
    """A new user, which bears `mark` as its description; its id."""
    with translated(f"Making user {name}"):
        return str(_keystone(connection).users.create(name, domain=domain, password=password, description=mark).id)


def delete_user(connection: "Connection", name: str, domain: str, mark: str) -> bool:
    """Delete the user of that name if it bears `mark`; whether it did."""
    with translated(f"Deleting user {name}"):
        users = _keystone(connection).users
        for each in users.list(name=name, domain=domain):
            if getattr(each, "description", "") == mark:
                users.delete(each.id)
                return True
    return False


def role_ids(connection: "Connection") -> dict[str, str]:
    """The cloud's roles, by name."""
    with translated("Listing the roles"):
        return {role.name: role.id for role in _keystone(connection).roles.list()}


def grant(connection: "Connection", project: Project, user: str, role: str) -> None:
    """Give a user, by id, a role in a project. Twice is no error."""
    with translated(f"Giving a role in project {project.name}"):
        _keystone(connection).roles.grant(role, user=user, project=project.id)


def own_user(connection: "Connection") -> tuple[str, str]:
    """The ids of the user who asks, and of his domain."""
    with translated("Reading the token"):
        access: Any = connection.session.auth.get_access(connection.session)  # type: ignore[union-attr]  # is there
    return str(access.user_id), str(access.user_domain_id)


def set_quota(connection: "Connection", project: Project, limits: Mapping[str, int]) -> None:
    """Let a project have so much, by the names of core/capacity.py."""
    from openstack.exceptions import raise_from_response

    bodies: tuple[tuple[Any, str, str, Mapping[str, str]], ...] = (
        (connection.compute, f"/os-quota-sets/{project.id}", "quota_set", _NOVA),
        (connection.network, f"/quotas/{project.id}", "quota", _NEUTRON),
    )
    with translated(f"Setting the quota of project {project.name}"):
        for service, path, kind, names in bodies:
            body = {kind: {names[name]: limit for name, limit in limits.items() if name in names}}
            raise_from_response(service.put(path, json=body))


def enter(connection: "Connection", project: Project) -> "Connection":
    """A connection of the same user to a student's project; it signs in now."""
    with translated(f"Signing in to project {project.name}"):
        inside = connection.connect_as_project({"id": project.id, "name": project.name})
        inside.session.get_token()
    return inside


def strangers(inside: "Connection") -> tuple[str, ...]:
    """What is in a project: for one whose machine is gone, what its student made."""
    network, project = inside.network, inside.current_project_id
    with translated("Looking for what is left"):
        return tuple(
            f"{kind} {each.name or each.id}"
            for kind, listing in (
                ("server", inside.compute.servers()),
                ("router", network.routers(project_id=project)),
                ("network", network.networks(project_id=project)),
                ("floating IP", network.ips(project_id=project)),
            )
            for each in listing
        )


def delete_project(connection: "Connection", project: Project) -> None:
    """Delete an empty project, with the security group that Neutron gave it, and its quota."""
    from openstack.exceptions import raise_from_response

    with translated(f"Deleting project {project.name}"):
        for group in connection.network.security_groups(project_id=project.id):
            connection.network.delete_security_group(group.id)
        for service, path in ((connection.compute, "/os-quota-sets"), (connection.network, "/quotas")):
            answer = service.delete(f"{path}/{project.id}")
            if answer.status_code != 404:  # it has none of its own
                raise_from_response(answer)
        _keystone(connection).projects.delete(project.id)


def find_domain(connection: "Connection", name: str | None) -> str:
    """The id of a domain, by its name or id; the operator's own without one. Raises NotFoundError."""
    if name is None:
        return own_user(connection)[1]
    with translated(f"Looking for domain {name}"):
        found = _keystone(connection).domains.list(name=name)
        return str(found[0].id if found else _keystone(connection).domains.get(name).id)


def _keystone(connection: "Connection") -> Any:
    from keystoneclient.v3.client import Client

    config = connection.config
    return Client(
        session=connection.session,
        region_name=config.get_region_name("identity"),
        interface=config.get_interface("identity") or "public",
    )


def _project(found: Any) -> Project | None:
    label = student_of(list(found.tags or ()))
    return None if label is None else Project(str(found.id), str(found.name), label)
