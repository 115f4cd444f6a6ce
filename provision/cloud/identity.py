"""Who we are to the cloud: read from the token that signing in gave, without a further call."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, cast

from provision.cloud.connection import translated

if TYPE_CHECKING:
    from keystoneauth1.identity.base import BaseIdentityPlugin
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
    with translated("Reading the token"):
        access = cast("BaseIdentityPlugin", connection.session.auth).get_access(connection.session)
    config = connection.config.config
    kind = str(config.get("auth_type") or "password").removeprefix("v3")
    kind = "trust" if config.get("auth", {}).get("trust_id") else kind
    return Caller(
        user=access.username or access.user_id or "",
        project=access.project_name or access.project_id or "",
        project_id=access.project_id or "",
        roles=tuple(sorted(access.role_names or ())),
        credential=kind.replace("applicationcredential", "application credential"),
    )


def clock_skew(connection: "Connection") -> float | None:
    """Seconds, to one or so, by which this computer's clock is ahead of the cloud's; None if nothing there tells time.

    Keystone is asked, and where what stands before it sends no date, Nova and then Glance.
    """
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    auth = cast("BaseIdentityPlugin", connection.session.auth)
    services: tuple[Callable[[], str | None], ...] = (
        lambda: auth.auth_url,
        connection.compute.get_endpoint,
        connection.image.get_endpoint,
    )
    for address in services:
        with suppress(SDKException, ClientException):  # what is wrong with a service, its own check says
            if (skew := _skew(connection, address() or "")) is not None:
                return skew
    return None


def _skew(connection: "Connection", address: str) -> float | None:
    if not address:
        return None
    before = time.time()
    response = connection.session.get(address, authenticated=False, raise_exc=False)
    after = time.time()
    try:
        there = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return None
    return (before + after) / 2 - (there + 0.5)  # a date is cut to the second
