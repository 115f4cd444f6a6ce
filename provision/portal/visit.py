"""One request: who makes it, what the form says, and how a page is answered."""

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from provision.errors import NotFoundError, ProvisionError
from provision.portal import strings, words
from provision.portal.store import Deed, Session, read_session, write_deed
from provision.workflows.desk import Desk

log = logging.getLogger("provision.portal")

FORM = 64 * 1024  # bytes
Who = Literal["anybody", "student", "staff"]


@dataclass(frozen=True)
class Settings:
    """How a portal is served. `secure`: its public address is https. `ways` are other sign-ins: a label and a path."""

    title: str
    hosts: tuple[str, ...]
    secure: bool
    contact: str = ""
    ends: date | None = None
    ways: tuple[tuple[str, str], ...] = ()

    @property
    def cookie(self) -> str:
        """The session's cookie. With __Host- a browser takes it from this very host by https alone."""
        return "__Host-session" if self.secure else "session"


@dataclass(frozen=True)
class Portal:
    """What every request needs."""

    desk: Desk
    engine: Engine
    settings: Settings

    def now(self) -> float:
        """Seconds since 1970."""
        return self.desk.clock.now()


@dataclass(frozen=True)
class Visit:
    """A request, and the session that it belongs to."""

    request: Request
    portal: Portal
    session: Session | None
    form: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def said(self, name: str) -> str:
        """A field of the form, or nothing."""
        return self.form.get(name, [""])[0]

    @property
    def student(self) -> str:
        """The one student whom this visit may see and touch."""
        if self.session is None or self.session.person.student is None:
            raise NotFoundError("This visit is no student's.")
        return self.session.person.student

    @property
    def id(self) -> str:
        """The request's id, which the audit log and the server's log have too."""
        return str(self.request.scope.get("request_id", ""))


Handler = Callable[[Visit], Response]


def route(path: str, handler: Handler, method: str, who: Who, *, csrf: bool = True) -> Route:
    """A route for these people alone. What changes anything is a POST that bears its session's word."""

    async def endpoint(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace")) if method == "POST" else {}
        return await run_in_threadpool(_answer, request, handler, form, who, csrf and method == "POST")

    return Route(path, endpoint, methods=[method], name=f"{method} {path}")


def _answer(request: Request, handler: Handler, form: dict[str, list[str]], who: Who, csrf: bool) -> Response:
    portal: Portal = request.app.state.portal
    visit = Visit(request, portal, None, form)
    try:
        token = request.cookies.get(portal.settings.cookie)
        visit = Visit(request, portal, read_session(portal.engine, token, portal.now()) if token else None, form)
        return _guarded(visit, handler, who, csrf)
    except NotFoundError as exc:
        log.warning("%s: %s", visit.id, exc.message)
        return page(visit, "problem.html", 404, problem=strings.NOT_YOURS)
    except ProvisionError as exc:
        log.warning("%s: %s", visit.id, exc.message)
        return page(visit, "problem.html", 503, problem=strings.TROUBLE)
    except Exception:  # the student gets a page and a reference, staff the trace
        log.exception("%s: a fault of ours", visit.id)
        return page(visit, "problem.html", 500, problem=strings.TROUBLE)


def _guarded(visit: Visit, handler: Handler, who: Who, csrf: bool) -> Response:
    session = visit.session
    if who == "anybody" and not csrf:
        return handler(visit)
    if who != "anybody" and session is None:
        if visit.request.method == "GET":
            return RedirectResponse("/", 303)
        return page(visit, "problem.html", 401, problem=strings.SIGNED_OUT)
    if csrf and not (session and hmac.compare_digest(visit.said("csrf").encode(), session.csrf.encode())):
        return page(visit, "problem.html", 403, problem=strings.OLD_FORM)
    if who != "anybody" and session and session.person.role != who:
        return page(visit, "problem.html", 403, problem=strings.NOT_YOURS)
    return handler(visit)


@cache
def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    made = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, auto_reload=False)
    made.globals["t"] = strings
    made.filters |= {"seconds": words.seconds, "ago": words.ago, "moment": words.moment}
    return made


def page(visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
    """A page of ours."""
    text = (
        _templates()
        .get_template(template)
        .render(visit=visit, session=visit.session, settings=visit.portal.settings, now=visit.portal.now(), **values)
    )
    return HTMLResponse(text, status)


def deed(visit: Visit, what: str, whom: str, detail: str = "") -> None:
    """Write into the audit log what this visit does."""
    who = "nobody" if visit.session is None else f"{visit.session.person.role} {visit.session.person.subject}"
    write_deed(visit.portal.engine, Deed(visit.portal.now(), who, what, whom, visit.id, detail))
