"""The launch page as one application: its routes, and what stands before them."""

from collections.abc import Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from provision.portal import entry, events, staff, strings, student
from provision.portal.guard import Guard
from provision.portal.visit import Portal, Visit, page, route

STATIC = Path(__file__).parent / "static"


def make_app(portal: Portal, ways: Iterable[BaseRoute] = (), foreign: tuple[str, ...] = ()) -> Starlette:
    """The application. `ways` are other ways to sign in; to the paths `foreign` other sites may post, as LTI does."""
    app = Starlette(
        routes=[
            *student.routes(),
            *entry.routes(),
            *staff.routes(),
            *events.routes(),
            *ways,
            Route("/healthz", _health, methods=["GET"]),
            Mount("/static", StaticFiles(directory=STATIC)),
            route("/{path:path}", _nothing, "GET", "anybody"),
        ],
        middleware=[
            Middleware(Guard, hosts=portal.settings.hosts, secure=portal.settings.secure, foreign=foreign),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.state.portal = portal
    return app


def _health(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _refused(request: Request, exc: Exception) -> Response:
    """What another way to sign in refuses, on a page like all others."""
    visit = Visit(request, request.app.state.portal, None, {})
    status, words = (exc.status_code, exc.detail) if isinstance(exc, HTTPException) else (500, "")
    problem = strings.Problem(strings.NOT_SIGNED_IN, words, strings.SIGN_IN_AGAIN)
    return await run_in_threadpool(page, visit, "problem.html", status, problem=problem)


def _nothing(visit: Visit) -> Response:
    return page(visit, "problem.html", 404, problem=strings.NOT_YOURS)
