"""What students asked for and where that stands, in a database that portals share. Never the truth about machines.

Lose it, and the cloud still shows every machine: only who waits in line, and whose password was shown, is forgotten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    MetaData,
    String,
    Table,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from provision.core.standing import Kind, Wish

LEASE = 60.0  # seconds without a sign of life, after which another portal goes on with a wish
TWICE = 20.0  # seconds in which a second look at the password is the first one, clicked twice

METADATA = MetaData()
WISHES = Table(
    "wishes",
    METADATA,
    Column("student", String(64), primary_key=True),  # one row each: asking fifty times is asking once
    Column("kind", String(16), nullable=False),
    Column("asked", Float, nullable=False),
    Column("reference", String(32), nullable=False),
    Column("owner", String(64)),
    *(Column(name, Float) for name in ("alive", "taken", "made", "served", "ended", "shown")),
    *(Column(name, Boolean, nullable=False, default=False) for name in ("cold", "failed")),
    *(Column(name, String, nullable=False, default="") for name in ("stage", "url", "reason", "hint")),
)
_OPEN = WISHES.c.ended.is_(None)
_NAMES = tuple(field.name for field in fields(Wish))


def all_wishes(engine: Engine) -> dict[str, Wish]:
    """Every student's last wish, in the order in which they were asked."""
    with engine.connect() as connection:
        rows = connection.execute(select(*(WISHES.c[name] for name in _NAMES)).order_by(WISHES.c.asked))
        return {row.student: Wish(*row) for row in rows}


def read_wish(engine: Engine, student: str) -> Wish | None:
    """One student's last wish."""
    with engine.connect() as connection:
        row = connection.execute(
            select(*(WISHES.c[name] for name in _NAMES)).where(WISHES.c.student == student)
        ).one_or_none()
    return Wish(*row) if row else None


def wish_for(engine: Engine, student: str, kind: Kind, reference: str, now: float, *, cold: bool) -> bool:
    """Ask for it, unless something that was asked is still to be done. Whether it is new."""
    new: dict[str, Any] = dict.fromkeys(("owner", "alive", "taken", "made", "served", "ended"))
    new |= {"kind": kind, "asked": now, "reference": reference, "cold": cold, "failed": False}
    new |= dict.fromkeys(("stage", "url", "reason", "hint"), "")
    with engine.begin() as connection:
        again = update(WISHES).where(WISHES.c.student == student, WISHES.c.ended.is_not(None)).values(**new)
        if connection.execute(again).rowcount:
            return True
        if connection.execute(select(WISHES.c.student).where(WISHES.c.student == student)).first():
            return False
    return _first(engine, {"student": student, **new})


def _first(engine: Engine, row: Mapping[str, Any]) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(insert(WISHES).values(**row))
    except IntegrityError:  # another click was faster
        return False
    return True


def take(engine: Engine, wish: Wish, owner: str, now: float) -> bool:
    """Whether the wish is this portal's to do now: of several that ask, one gets it."""
    free = or_(WISHES.c.owner.is_(None), WISHES.c.owner == owner, WISHES.c.alive < now - LEASE)
    mine = and_(WISHES.c.student == wish.student, WISHES.c.reference == wish.reference, _OPEN, free)
    with engine.begin() as connection:
        done = connection.execute(update(WISHES).where(mine).values(owner=owner, alive=now, taken=now))
    return bool(done.rowcount)


def give_back(engine: Engine, students: Iterable[str], owner: str) -> None:
    """Let another portal do these."""
    with engine.begin() as connection:
        _change(connection, students, owner, {"owner": None, "alive": None, "taken": None})


def note(engine: Engine, student: str, owner: str, **values: Any) -> None:
    """Write down how far an open wish of this portal's is."""
    with engine.begin() as connection:
        _change(connection, [student], owner, values)


def live(engine: Engine, owner: str, now: float) -> None:
    """A sign of life for all that this portal does."""
    with engine.begin() as connection:
        connection.execute(update(WISHES).where(WISHES.c.owner == owner, _OPEN).values(alive=now))


def _change(connection: Connection, students: Iterable[str], owner: str, values: Mapping[str, Any]) -> None:
    mine = and_(WISHES.c.student.in_(list(students)), WISHES.c.owner == owner, _OPEN)
    connection.execute(update(WISHES).where(mine).values(**values))


def show_once(engine: Engine, student: str, now: float) -> bool:
    """Whether the password may be shown: the first time, and to a double click."""
    may = or_(WISHES.c.shown.is_(None), WISHES.c.shown > now - TWICE)
    first = and_(WISHES.c.student == student, may, WISHES.c.ended.is_not(None), ~WISHES.c.failed)
    with engine.begin() as connection:
        values = {"shown": func.coalesce(WISHES.c.shown, now)}
        return bool(connection.execute(update(WISHES).where(first).values(**values)).rowcount)
