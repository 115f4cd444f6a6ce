"""A student's own page: one button, where the machine is, and what can be done with it."""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provision.core.standing import MOVING, PHASES, Kind, Place
from provision.portal import strings
from provision.portal.visit import Visit, deed, page, route
from provision.workflows.desk import ask, look, reset_password, reveal, typical, user_of

DO: tuple[Kind, ...] = ("start", "wake", "restart", "stop", "reset")


def routes() -> list[Route]:
    """The pages, and a form's address for each thing that can be done."""
    return [
        route("/", _home, "GET", "anybody"),
        route("/place", _place, "GET", "student"),
        route("/password/show", _show, "POST", "student"),
        route("/password/reset", _reset_password, "POST", "student"),
        *(route(f"/{kind}", lambda visit, kind=kind: _do(visit, kind), "POST", "student") for kind in DO),  # type: ignore[misc]
    ]


def _home(visit: Visit) -> Response:
    if visit.session is None:
        return page(visit, "signin.html")
    if visit.session.person.role == "staff":
        return RedirectResponse("/staff", 303)
    return _page(visit, "student.html")


def _place(visit: Visit) -> Response:
    """The part of the page that changes, for the script."""
    return _page(visit, "place.html")


def _page(visit: Visit, template: str) -> Response:
    desk, settings = visit.portal.desk, visit.portal.settings
    place = look(desk, visit.student)
    left = None if settings.ends is None else settings.ends.toordinal() - int(visit.portal.now() // 86400) - 719163
    return page(
        visit,
        template,
        place=place,
        moving=place.state in MOVING,
        phases=phases(place),
        typical=typical(desk),
        problem=strings.problem_of(place.stage),
        offers=desk.offers,
        url=place.url if urlsplit(place.url).scheme in ("http", "https") else "",
        blind=desk.blind is not None,
        days=left,
    )


def phases(place: Place) -> list[tuple[str, str]]:
    """Each phase, and whether it is done, now or to come."""
    names = (*PHASES, "ready")
    at = names.index(place.state) if place.state in names else -1
    return [
        (name, strings.DONE if number < at else strings.NOW if number == at else strings.TO_COME)
        for number, name in enumerate(names)
    ]


def _do(visit: Visit, kind: Kind) -> Response:
    before = look(visit.portal.desk, visit.student)
    after = ask(visit.portal.desk, visit.student, kind)
    if after.reference != before.reference:
        deed(visit, kind, visit.student, after.reference)
    return RedirectResponse("/", 303)


def _show(visit: Visit) -> Response:
    password = reveal(visit.portal.desk, visit.student)
    deed(visit, "saw the password" if password else "asked for the password again", visit.student)
    return _password(visit, password)


def _reset_password(visit: Visit) -> Response:
    password = reset_password(visit.portal.desk, visit.student)
    deed(visit, "reset the password", visit.student)
    return _password(visit, password)


def _password(visit: Visit, password: str | None) -> Response:
    desk = visit.portal.desk
    place = look(desk, visit.student)
    return page(
        visit,
        "password.html",
        password=password,
        user=user_of(desk),
        url=place.url if urlsplit(place.url).scheme in ("http", "https") else "",
        offers=desk.offers,
    )
