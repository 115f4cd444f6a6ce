"""Signing in by a personal link, signing out, and what every way of signing in ends with: a new session."""

import secrets
from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provision.core.roster import Student
from provision.portal import strings
from provision.portal.person import Person
from provision.portal.store import (
    Deed,
    count_try,
    end_session,
    new_session,
    once,
    tries_of,
    use_link,
    write_deed,
)
from provision.portal.visit import Portal, Visit, deed, page, route

LIFETIME = {"student": 14 * 86400.0, "staff": 12 * 3600.0}  # seconds
TRIES, WINDOW = 10, 300.0  # failed sign-ins from one address, and seconds


def routes() -> list[Route]:
    """The links' pages and the way out."""
    return [
        # A mail filter that opens every link does not use it up: that takes the button.
        route("/link/{token}", _show_link, "GET", "anybody"),
        route("/link/{token}", _use_link, "POST", "anybody", csrf=False),
        route("/sign-out", _sign_out, "POST", "anybody"),
    ]


def new_links(students: Iterable[Student], staff: Iterable[str], expires: float) -> list[dict[str, Any]]:
    """A link for each of these: rows of token, student, name, role and expires, as the store takes them."""
    each = [(student.id, student.name, "student") for student in students] + [(None, name, "staff") for name in staff]
    return [
        {"token": secrets.token_urlsafe(32), "student": id_, "name": name, "role": role, "expires": expires}
        for id_, name, role in each
    ]


async def admit(request: Request, person: Person, path: str) -> Response:
    """Begin a session for somebody who proved who it is, end the one before, and go on to a path of ours."""
    return await run_in_threadpool(_admit, request, person, path)


def is_first(portal: Portal, kind: str, value: str, seconds: float) -> bool:
    """Whether something of single use is shown the first time; all portals agree."""
    return once(portal.engine, kind, value, seconds, portal.now())


def _admit(request: Request, person: Person, path: str) -> Response:
    portal: Portal = request.app.state.portal
    name, seconds = portal.settings.cookie, LIFETIME[person.role]
    if old := request.cookies.get(name):
        end_session(portal.engine, old)
    token = new_session(portal.engine, person, portal.now(), seconds)
    request_id = str(request.scope.get("request_id", ""))
    who = f"{person.role} {person.subject}"
    write_deed(portal.engine, Deed(portal.now(), who, f"signed in by {person.via}", person.student or "", request_id))
    answer = RedirectResponse(local(path), 303)
    answer.set_cookie(
        name, token, max_age=int(seconds), path="/", secure=portal.settings.secure, httponly=True, samesite="lax"
    )
    return answer


def local(path: str) -> str:
    """The path, if it is one of ours; otherwise the first page. Backslashes and two slashes lead to other hosts."""
    plain = path.startswith("/") and not path.startswith("//") and path.isascii() and path.isprintable()
    return path if plain and "\\" not in path else "/"


def _show_link(visit: Visit) -> Response:
    return page(visit, "link.html")


def _use_link(visit: Visit) -> Response:
    portal, client = visit.portal, visit.request.client
    address = client.host if client else ""
    if tries_of(portal.engine, address, portal.now()) >= TRIES:
        answer = page(visit, "problem.html", 429, problem=strings.TOO_MANY)
        answer.headers["Retry-After"] = str(int(WINDOW))
        return answer
    person = use_link(portal.engine, visit.request.path_params["token"], portal.now())
    if person is None:
        count_try(portal.engine, address, WINDOW, portal.now())
        deed(visit, "link refused", "", address)
        return page(visit, "problem.html", 403, problem=strings.BAD_LINK)
    return _admit(visit.request, person, "/staff" if person.role == "staff" else "/")


def _sign_out(visit: Visit) -> Response:
    name = visit.portal.settings.cookie
    if token := visit.request.cookies.get(name):
        end_session(visit.portal.engine, token)
    deed(visit, "signed out", "")
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(name, path="/", secure=visit.portal.settings.secure, httponly=True, samesite="lax")
    return answer
