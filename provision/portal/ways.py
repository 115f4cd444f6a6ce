"""portal.toml: the portal's own address, and the ways to sign in beside personal links that it switches on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.routing import Route

from provision.core.toml_file import parse_file
from provision.errors import InvalidInputError
from provision.portal import strings
from provision.portal.app import make_app
from provision.portal.entry import admit, is_first
from provision.portal.signin import lti, oidc
from provision.portal.signin.settings import LtiSettings, OidcSettings, Web
from provision.portal.visit import Portal


class PortalFile(BaseModel):
    """portal.toml. Without one, students come by their personal links alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="portal.toml")

    url: Annotated[Web, Field(description="the portal's own address, as browsers call it")]
    oidc: Annotated[OidcSettings | None, Field(description="OpenID Connect")] = None
    lti: Annotated[LtiSettings | None, Field(description="LTI 1.3")] = None


@dataclass(frozen=True)
class Ways:
    """The routes of all ways, how the page names those that begin on it, and to which paths other sites may post."""

    routes: tuple[Route, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    foreign: tuple[str, ...] = ()


def read_portal_file(path: Path) -> PortalFile:
    """What portal.toml says. Raises InvalidInputError with every problem."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc}.") from exc
    return parse_file(text, str(path), PortalFile, _conflicts)


def _conflicts(data: dict[str, object]) -> Iterable[tuple[tuple[str | int, ...], str]]:
    if "oidc" not in data and "lti" not in data:
        yield (), "has neither [oidc] nor [lti]: leave the file out, and students come by their links"


def make_ways(file: PortalFile, portal: Portal) -> Ways:
    """Both ways, or the one that is there. Raises InvalidInputError where a secret or a key is missing."""
    once, roster = partial(is_first, portal), portal.desk.students.values
    ways = Ways()
    if file.oidc:
        routes = oidc.routes(file.oidc, once, admit, roster, file.url.rstrip("/"), portal.now)
        ways = Ways(tuple(routes), ((strings.UNIVERSITY_ACCOUNT, "/oidc/login"),))
    if file.lti:
        more = lti.routes(file.lti, once, admit, roster, file.url.rstrip("/"), portal.now)
        ways = replace(ways, routes=(*ways.routes, *more), foreign=lti.FOREIGN)
    return ways


def make_portal(portal: Portal, file: PortalFile | None) -> Starlette:
    """The application, with the ways of `file`."""
    if file is None:
        return make_app(portal)
    ways = make_ways(file, portal)
    portal = replace(portal, settings=replace(portal.settings, ways=ways.labels))
    return make_app(portal, ways.routes, ways.foreign)
