"""Who we are to the cloud: read from the token that signing in gave, without a further call."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from provision.cloud.connection import translated

if TYPE_CHECKING:
    from openstack.connection import Connection


@dataclass(frozen=True)
class Caller:
    """The user and project of a token, the user's roles there, and the kind of credential that it came from."""

    user: str
    project: str
    project_id: str
    roles: tuple[str, ...]
    credential: str


def whoami(connection: "Connection") -> Caller:
    """The caller as the cloud sees him."""
    from keystoneauth1.identity.base import BaseIdentityPlugin

    with translated("Reading the token"):
        access = cast(BaseIdentityPlugin, connection.session.auth).get_access(connection.session)
    kind = str(connection.config.config.get("auth_type") or "password").removeprefix("v3")
    return Caller(
        user=access.username or access.user_id or "",
        project=access.project_name or access.project_id or "",
        project_id=access.project_id or "",
        roles=tuple(sorted(access.role_names or ())),
        credential=kind.replace("applicationcredential", "application credential"),
    )
