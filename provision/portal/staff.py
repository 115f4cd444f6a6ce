"""What staff see: the class as a table, problems first; what they may do for one or many; and who did what."""

import csv
import io
from dataclasses import asdict, dataclass

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provision.core.standing import Kind, Place
from provision.errors import NotFoundError
from provision.portal import strings
from provision.portal.store import last_visits, read_deeds
from provision.portal.visit import Visit, deed, page, route
from provision.workflows.desk import ask, look
from provision.workflows.handouts import COLUMNS, read_handouts

ACTIONS: tuple[Kind, ...] = ("start", "wake", "restart", "stop")
_ORDER = tuple(strings.STATES)  # problems first
DEEDS = 500


@dataclass(frozen=True)
class Row:
    """One student in the table; `seen` is when the student signed in last."""

    student: str
    name: str
    place: Place
    seen: float | None


def routes() -> list[Route]:
    """The table, its changing part, what is done from it, and the log."""
    return [
        route("/staff", lambda visit: _class(visit, "staff.html"), "GET", "staff"),
        route("/staff/table", lambda visit: _class(visit, "table.html"), "GET", "staff"),
        route("/staff/act", _act, "POST", "staff"),
        route("/staff/handout", _handout, "POST", "staff"),
        route("/staff/audit", _audit, "GET", "staff"),
    ]


def _class(visit: Visit, template: str) -> Response:
    query = visit.request.query_params
    word, state = query.get("q", "").strip(), query.get("state", "")
    rows = [row for row in _rows(visit) if _fits(row, word.casefold(), state)]
    done = query.get("done", "") if query.get("done", "") in ACTIONS else ""
    return page(visit, template, rows=rows, word=word, state=state, done=done, count=query.get("count", "0")[:5])


def _rows(visit: Visit) -> list[Row]:
    desk, visits = visit.portal.desk, last_visits(visit.portal.engine)
    rows = [Row(each.id, each.name, look(desk, each.id), visits.get(each.id)) for each in desk.order.students]
    return sorted(rows, key=lambda row: (_ORDER.index(row.place.state), row.student))


def _fits(row: Row, word: str, state: str) -> bool:
    said = (row.student, row.name, row.place.reference)
    return state in ("", row.place.state) and any(word in each.casefold() for each in said)


def _act(visit: Visit) -> Response:
    kind = next((kind for kind in ACTIONS if kind == visit.said("action")), None)
    if kind is None:
        raise NotFoundError("There is no such action.")
    students = visit.form.get("student", [])
    for student in students:
        after = ask(visit.portal.desk, student, kind)
        deed(visit, kind, student, after.reference)
    return RedirectResponse(f"/staff?done={kind}&count={len(students)}", 303)


def _handout(visit: Visit) -> Response:
    """The line of one student's handout. It holds the first password, so the log says who took it."""
    student = visit.said("student")
    handout = read_handouts(visit.portal.desk.file.folder).get(student)
    if handout is None:
        raise NotFoundError(f"There is no handout of {student!r}.")
    deed(visit, "downloaded the handout", student)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerow(asdict(handout))
    headers = {"Content-Disposition": f'attachment; filename="handout-{handout.id}.csv"'}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


def _audit(visit: Visit) -> Response:
    word = visit.request.query_params.get("q", "").strip()
    return page(visit, "audit.html", deeds=read_deeds(visit.portal.engine, DEEDS, word), word=word)
