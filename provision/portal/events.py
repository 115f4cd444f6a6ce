"""Server-sent events: the page is told when it has changed, and asks for what did."""

import asyncio
from collections.abc import AsyncIterator, Callable

from sse_starlette.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from provision.portal.store import Session, read_session
from provision.portal.visit import Portal
from provision.workflows.desk import look

PAUSE = 1.0  # seconds between two looks, which ask neither cloud nor database
LONGEST = 1800.0  # seconds; then the browser comes again, and shows its session again


def routes() -> list[Route]:
    """The one stream."""
    return [Route("/events", _events, methods=["GET"])]


async def _events(request: Request) -> Response:
    portal: Portal = request.app.state.portal
    token = request.cookies.get(portal.settings.cookie, "")
    session = await run_in_threadpool(read_session, portal.engine, token, portal.now())
    if session is None:
        return Response(status_code=204)  # which tells an EventSource to stop
    if session.person.role == "student" and session.person.student not in portal.desk.students:
        return Response(status_code=204)
    return EventSourceResponse(_changes(_state(portal, session)), ping=15)


def _state(portal: Portal, session: Session) -> Callable[[], object]:
    student, desk = session.person.student, portal.desk
    if student is None or session.person.role != "student":
        return lambda: [look(desk, each.id).state for each in desk.order.students]
    return lambda: (look(desk, student), desk.blind is not None)


async def _changes(state: Callable[[], object]) -> AsyncIterator[dict[str, str]]:
    """An event at first, and for each change."""
    before: object = None
    for _ in range(int(LONGEST / PAUSE)):
        if (now := state()) != before:
            before = now
            yield {"event": "change", "data": ""}
        await asyncio.sleep(PAUSE)
