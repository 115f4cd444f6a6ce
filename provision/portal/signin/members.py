"""A course's members as the learning environment lists them, and what that would change in the roster.

1EdTech Names and Role Provisioning Services 2.0. Nothing is written here: whoever asked decides.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import RSAKey

from provision.core.naming import STUDENT_ID
from provision.core.roster import Student
from provision.errors import ProvisionError
from provision.portal.signin.lti_message import course_roles, origin
from provision.portal.signin.matching import person_email, person_name
from provision.portal.signin.refusals import RefusedError
from provision.portal.signin.settings import Platform
from provision.portal.signin.web import PATIENCE, read_json

SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
KIND = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
PAGES = 100
HINT = "Nothing was changed. docs/sign-in.md says what the platform must allow."


@dataclass(frozen=True)
class RosterChanges:
    """What the roster lacks, has too much, and has otherwise; and who cannot be put into it, with the reason."""

    added: tuple[Student, ...] = ()
    gone: tuple[Student, ...] = ()
    changed: tuple[tuple[Student, Student], ...] = ()
    unusable: tuple[str, ...] = ()


def fetch_members(platform: Platform, own: RSAKey) -> tuple[dict[str, Any], ...]:
    """Everybody in the course, page after page. Raises ProvisionError rather than return a part."""
    if platform.memberships_url is None:
        raise ProvisionError(f"{platform.issuer} has no memberships_url in portal.toml.", hint=HINT)
    try:
        token = _token(platform, own)
        return tuple(_pages(platform.memberships_url, token))
    except RefusedError as exc:
        raise ProvisionError(f"The course's members cannot be read: {exc.message}.", hint=HINT) from exc


def _token(platform: Platform, own: RSAKey) -> str:
    """An access token for our own name, proved by our key (RFC 7523; 1EdTech Security 1.0, 4.1)."""
    proof = PrivateKeyJWT(platform.token_url, headers={"kid": own.kid})
    try:
        with OAuth2Session(platform.client_id, own, token_endpoint_auth_method=proof, scope=SCOPE) as client:
            got = client.fetch_token(
                platform.token_url, grant_type="client_credentials", timeout=PATIENCE, allow_redirects=False
            )
            return str(got["access_token"])
    except (requests.RequestException, AuthlibBaseError, ValueError, TypeError, LookupError) as exc:
        raise RefusedError(f"{platform.token_url} gives no access token ({type(exc).__name__})") from exc


def _pages(url: str, token: str) -> Iterator[dict[str, Any]]:
    """The members of each page. The token goes to no other host, whatever a page names as its next."""
    here: str | None = url
    for _ in range(PAGES):
        held, answer = read_json(str(here), {"Authorization": f"Bearer {token}", "Accept": KIND})
        members = held.get("members")
        if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
            raise RefusedError(f"{here} lists no members")
        yield from members
        following = answer.links.get("next", {}).get("url")
        if following is None:
            return
        here = urljoin(str(here), following)
        if origin(here) != origin(url):
            raise RefusedError(f"the next page is at another host: {here}")
    raise RefusedError(f"there are more than {PAGES} pages of members")


def plan_roster(roster: Iterable[Student], members: Iterable[dict[str, Any]], platform: Platform) -> RosterChanges:
    """What the roster would have to change to be the course's active students, with the keys that it has.

    Raises ProvisionError where nobody is listed: that is a mistake more often than a course without students.
    """
    held = {each.id.casefold(): each for each in roster}
    wanted: dict[str, Student] = {}
    unusable: list[str] = []
    for member in members:
        if member.get("status", "Active") == "Active" and "Learner" in course_roles(_roles(member)):
            _take(member, platform, held, wanted, unusable)
    if held and not wanted:
        raise ProvisionError("The platform lists no usable student, but the roster has some.", hint=HINT)
    return RosterChanges(
        tuple(each for key, each in wanted.items() if key not in held),
        tuple(each for key, each in held.items() if key not in wanted),
        tuple((held[key], each) for key, each in wanted.items() if key in held and held[key] != each),
        tuple(unusable),
    )


def _take(
    member: dict[str, Any],
    platform: Platform,
    held: dict[str, Student],
    wanted: dict[str, Student],
    unusable: list[str],
) -> None:
    name, email = person_name(member), person_email(member)
    wished = _id(member, platform, email, held)
    who = name or email or str(member.get("user_id"))[:40]
    before = held.get(wished.casefold())
    if not STUDENT_ID.fullmatch(wished):
        unusable.append(f"{who}: has no {platform.student} that can be an id")
    elif wished.casefold() in wanted:
        unusable.append(f"{who}: id {wished} is another member's, too")
    elif not name or not email:
        unusable.append(f"{who}: the platform does not say {'an e-mail address' if name else 'a name'}")
    else:
        wanted[wished.casefold()] = Student(
            before.id if before else wished, name, email, before.ssh_keys if before else ()
        )


def _id(member: dict[str, Any], platform: Platform, email: str, held: dict[str, Student]) -> str:
    """The id by the field that sign-in uses. Where that is the address: the roster's own, or what is before the @."""
    if platform.student == "email":
        found = [each.id for each in held.values() if each.email.casefold() == email.casefold()]
        return found[0] if len(found) == 1 else email.partition("@")[0]
    fields = {"sourcedid": "lis_person_sourcedid", "username": "ext_user_username"}
    value = member.get(fields.get(platform.student, ""))
    return value if isinstance(value, str) else ""


def _roles(member: dict[str, Any]) -> list[str]:
    held = member.get("roles")
    return [each for each in held if isinstance(each, str)] if isinstance(held, list) else []
