"""What an LTI message says: whether it is for this course, and who comes in which role (LTI Core 1.3, 5 and A.2)."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from provision.core.roster import Student
from provision.portal.person import Person
from provision.portal.signin.house import local_path
from provision.portal.signin.matching import person_email, person_name, student_by_email, student_by_id
from provision.portal.signin.refusals import (
    AGAIN,
    SETUP,
    UNLISTED,
    WRONG_COURSE,
    WRONG_ROLE,
    RefusedError,
    quoted,
)
from provision.portal.signin.settings import Platform, is_web
from provision.portal.signin.tokens import Claims, Problem

log = logging.getLogger("provision.portal.signin")

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
MESSAGE_TYPE = f"{CLAIM}message_type"
DEPLOYMENT = f"{CLAIM}deployment_id"
LAUNCH = "LtiResourceLinkRequest"
DEEP_LINK = "LtiDeepLinkingRequest"
DEEP_SETTINGS = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"
MEMBERSHIPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
COURSE_ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership"


def message_problems(claims: Claims, platform: Platform, url: str, path: str) -> Iterator[Problem]:
    """What keeps a message, whose token is proved, from being one for this course and this way in."""
    kind = claims.get(MESSAGE_TYPE)
    if kind not in (LAUNCH, DEEP_LINK):
        yield f"message_type is {quoted(kind)}", AGAIN
    if claims.get(f"{CLAIM}version") != "1.3.0":
        yield f"version is {quoted(claims.get(f'{CLAIM}version'))}", AGAIN
    if claims.get(DEPLOYMENT) not in platform.deployments:
        yield f"deployment {quoted(claims.get(DEPLOYMENT))} is not in portal.toml", SETUP
    if (context := _inside(claims, "context", "id")) not in platform.contexts:
        yield f"context {quoted(context)} is not in portal.toml", WRONG_COURSE
    roles = claims.get(f"{CLAIM}roles")
    if not isinstance(roles, list) or not all(isinstance(each, str) for each in roles):
        yield f"roles are {quoted(roles)}", AGAIN
    if kind == LAUNCH:
        yield from _launch_problems(claims, url, path)
    if kind == DEEP_LINK:
        yield from _deep_link_problems(claims, platform)


def _launch_problems(claims: Claims, url: str, path: str) -> Iterator[Problem]:
    if not isinstance(_inside(claims, "resource_link", "id"), str):
        yield "resource_link has no id", AGAIN
    target = claims.get(f"{CLAIM}target_link_uri")
    try:
        told = local_path(url, target if isinstance(target, str) else "")
    except RefusedError as exc:
        yield f"target_link_uri: {exc.message}", exc.sentence
    else:
        if told != path:
            yield f"target_link_uri is {quoted(target)}, and was another at the login", AGAIN


def _deep_link_problems(claims: Claims, platform: Platform) -> Iterator[Problem]:
    settings = claims.get(DEEP_SETTINGS)
    back = settings.get("deep_link_return_url") if isinstance(settings, dict) else None
    if not is_web(back) or origin(str(back)) not in {origin(platform.issuer), origin(platform.auth_url)}:
        yield f"deep_link_return_url {quoted(back)} is not the platform's", SETUP
    taken = settings.get("accept_types") if isinstance(settings, dict) else None
    if not isinstance(taken, list) or "ltiResourceLink" not in taken:
        yield "the platform takes no ltiResourceLink", SETUP


def origin(url: str) -> str:
    """The part of an address that says whose it is."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _inside(claims: Mapping[str, Any], name: str, key: str) -> Any:
    held = claims.get(CLAIM + name)
    return held.get(key) if isinstance(held, dict) else None


def course_roles(roles: Iterable[str]) -> set[str]:
    """The roles in this course: Learner, Instructor ... A role in the institution or the system is none.

    A sub-role implies its principal role: membership/Instructor#TeachingAssistant is both (A.2.3.1, A.2.3.2).
    """
    found: set[str] = set()
    for role in roles:
        if role.startswith(f"{COURSE_ROLE}#"):
            found.add(role.removeprefix(f"{COURSE_ROLE}#"))
        elif role.startswith(f"{COURSE_ROLE}/"):
            found.update(role.removeprefix(f"{COURSE_ROLE}/").split("#", 1))
        elif role.isalpha():  # the short form, of course roles alone
            found.add(role)
    return found


def lti_person(claims: Claims, platform: Platform, roster: Iterable[Student]) -> Person:
    """Who it is. Staff need not be in the roster, students must. Raises RefusedError."""
    held = course_roles(claims[f"{CLAIM}roles"])
    staff = bool(held & {*platform.staff_roles})
    if not staff and "Learner" not in held:
        raise RefusedError(f"the roles in the course are {quoted(sorted(held))}", WRONG_ROLE)
    student = _student(claims, platform, tuple(roster))
    if not staff and student is None:
        raise RefusedError(f"{platform.student} {quoted(student_field(claims, platform))} is no student's", UNLISTED)
    if staff:
        _tell_members(claims.get(MEMBERSHIPS))
    subject = f"{claims['iss']}#{claims['sub']}"
    return Person(subject, student, person_name(claims), person_email(claims), "staff" if staff else "student", "lti")


def _tell_members(service: Any) -> None:
    """What staff need for `memberships_url`, whole, in the log: platforms show it nowhere."""
    url = service.get("context_memberships_url") if isinstance(service, dict) else None
    if is_web(url):
        log.info("the course's members are listed at %s", str(url)[:1000])


def _student(claims: Claims, platform: Platform, roster: tuple[Student, ...]) -> str | None:
    find = student_by_email if platform.student == "email" else student_by_id
    return find(roster, student_field(claims, platform))


def student_field(claims: Mapping[str, Any], platform: Platform) -> Any:
    """What a message says of who it is, in the field that portal.toml names."""
    if platform.student == "email":
        return claims.get("email")
    if platform.student == "sourcedid":
        return _inside(claims, "lis", "person_sourcedid")
    if platform.student == "username":  # Moodle's and other platforms' own
        return _inside(claims, "ext", "user_username")
    return _inside(claims, "custom", platform.student.removeprefix("custom."))
