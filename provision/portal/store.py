"""What portals share: sessions, one-time links, what is single use, failed tries, and who did what. No plain secret."""

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from provision.errors import InvalidInputError, PreflightError
from provision.portal.person import Person
from provision.workflows import wishes

LOCK = 0x70726F76  # PostgreSQL's advisory lock under which tables are made
THREADS = 40  # of Starlette; each may need a connection

METADATA = MetaData()
ABOUT = Table("about", METADATA, Column("cohort", String(64), primary_key=True))
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("token", String(64), primary_key=True),  # its hash: who reads the database cannot sign in with it
    Column("csrf", String(64), nullable=False),
    Column("begun", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("student", String(64), index=True),
    *(Column(name, Text, nullable=False) for name in ("subject", "name", "role", "via")),
)
LINKS = Table(
    "links",
    METADATA,
    Column("token", String(64), primary_key=True),
    Column("student", String(64)),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
)
ONCE = Table(
    "once",
    METADATA,
    Column("token", String(64), primary_key=True),
    Column("expires", Float, nullable=False, index=True),
)
TRIES = Table(
    "tries",
    METADATA,
    Column("who", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("expires", Float, nullable=False, index=True),
)
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False, index=True),
    *(Column(name, Text, nullable=False) for name in ("who", "what", "whom", "request", "detail")),
)


@dataclass(frozen=True)
class Session:
    """Somebody's visit. `csrf` is in each of its forms."""

    person: Person
    csrf: str


@dataclass(frozen=True)
class Deed:
    """A line of the audit log: who did what to whom, when, in which request."""

    at: float
    who: str
    what: str
    whom: str
    request: str
    detail: str = ""


def open_store(url: str, cohort: str) -> Engine:
    """The database at `url`, made if need be. Raises PreflightError if it is another cohort's or does not answer."""
    try:
        engine = (
            _sqlite(url) if url.startswith("sqlite:") else create_engine(url, pool_size=THREADS, pool_pre_ping=True)
        )
        _make_tables(engine)
        known = _owner(engine, cohort)
    except (ArgumentError, ModuleNotFoundError) as exc:
        raise InvalidInputError(
            f"The database's address cannot be used: {type(exc).__name__}.",
            hint="Write it like sqlite:///portal.db or postgresql+psycopg://user@host/name.",
        ) from exc
    except OperationalError as exc:  # its words hold no password
        raise PreflightError(
            f"The database does not answer: {exc.orig}", hint="Is it up, and its address right?"
        ) from exc
    if known != cohort:
        raise PreflightError(f"The database is the portal's of {known}, not of {cohort}.", hint="Name another one.")
    return engine


def _make_tables(engine: Engine) -> None:
    """All tables. Two portals may begin at once: on PostgreSQL a lock orders them, SQLite does one after the other."""
    tables = (*METADATA.sorted_tables, *wishes.METADATA.sorted_tables)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # where IF NOT EXISTS alone is a race, too
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        for table in tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _owner(engine: Engine, cohort: str) -> str:
    """The cohort whose database it is: ours, if it was nobody's."""
    with suppress(IntegrityError), engine.begin() as connection:  # another portal may write it at the same time
        if connection.execute(select(ABOUT.c.cohort)).scalar() is None:
            connection.execute(insert(ABOUT).values(cohort=cohort))
    with engine.connect() as connection:
        return str(connection.execute(select(ABOUT.c.cohort)).scalar())


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, pool_size=THREADS, connect_args={"timeout": 30, "check_same_thread": False})
    place = Path(engine.url.database or "")
    place.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o600))

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")  # who reads does not wait for who writes
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def hashed(*words: str) -> str:
    """What is stored in place of a token."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def new_session(engine: Engine, person: Person, now: float, seconds: float) -> str:
    """Begin a visit; its token, which is nowhere else."""
    token = secrets.token_urlsafe(32)
    row = {"subject": person.subject, "student": person.student, "name": person.name, "role": person.role,
           "via": person.via, "token": hashed(token), "csrf": secrets.token_urlsafe(24), "begun": now,
           "expires": now + seconds}  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(SESSIONS).values(**row))
    return token


def read_session(engine: Engine, token: str, now: float) -> Session | None:
    """Whose visit it is, if it is not over."""
    query = select(SESSIONS).where(SESSIONS.c.token == hashed(token), SESSIONS.c.expires > now)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return Session(Person(row.subject, row.student, row.name, "", row.role, row.via), row.csrf) if row else None


def end_session(engine: Engine, token: str) -> None:
    """End a visit."""
    with engine.begin() as connection:
        connection.execute(delete(SESSIONS).where(SESSIONS.c.token == hashed(token)))


def last_visits(engine: Engine) -> Mapping[str, float]:
    """When each student signed in last."""
    query = select(SESSIONS.c.student, func.max(SESSIONS.c.begun)).group_by(SESSIONS.c.student)
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query) if row[0]}


def once(engine: Engine, kind: str, value: str, seconds: float, now: float) -> bool:
    """Whether it is the first time in `seconds` that this value of this kind is shown."""
    token = hashed(kind, value)
    try:
        with engine.begin() as connection:
            connection.execute(delete(ONCE).where(ONCE.c.expires <= now))
            connection.execute(insert(ONCE).values(token=token, expires=now + seconds))
    except IntegrityError:
        return False
    return True


def add_links(engine: Engine, rows: Iterable[Mapping[str, Any]]) -> None:
    """Remember links: rows of token (plain), student, name, role and expires. A student's older ones end."""
    new = [{**row, "token": hashed(row["token"]), "used": None} for row in rows]
    students = [row["student"] for row in new if row["student"]]
    with engine.begin() as connection:
        connection.execute(delete(LINKS).where(LINKS.c.student.in_(students)))
        connection.execute(insert(LINKS), new)


def use_link(engine: Engine, token: str, now: float) -> Person | None:
    """Whom a link lets in: once, and not after its end."""
    mine = (LINKS.c.token == hashed(token)) & LINKS.c.used.is_(None) & (LINKS.c.expires > now)
    with engine.begin() as connection:
        if not connection.execute(update(LINKS).where(mine).values(used=now)).rowcount:
            return None
        row = connection.execute(select(LINKS).where(LINKS.c.token == hashed(token))).one()
    return Person(row.student or row.name, row.student, row.name, "", row.role, "link")


def count_try(engine: Engine, who: str, seconds: float, now: float) -> int:
    """Count a failed try of somebody's; how many there were in `seconds`."""
    key = hashed("try", who)
    with engine.begin() as connection:
        connection.execute(delete(TRIES).where(TRIES.c.expires <= now))
        if not connection.execute(update(TRIES).where(TRIES.c.who == key).values(number=TRIES.c.number + 1)).rowcount:
            connection.execute(insert(TRIES).values(who=key, number=1, expires=now + seconds))
        return int(connection.execute(select(TRIES.c.number).where(TRIES.c.who == key)).scalar_one())


def tries_of(engine: Engine, who: str, now: float) -> int:
    """How often somebody failed lately."""
    query = select(TRIES.c.number).where(TRIES.c.who == hashed("try", who), TRIES.c.expires > now)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar() or 0)


def write_deed(engine: Engine, deed: Deed) -> None:
    """Add a line to the audit log."""
    with engine.begin() as connection:
        connection.execute(delete(SESSIONS).where(SESSIONS.c.expires <= deed.at))
        connection.execute(insert(AUDIT).values(**vars(deed)))


def read_deeds(engine: Engine, count: int, word: str = "") -> list[Deed]:
    """The latest lines of the audit log that have `word` in them."""
    query = select(*(AUDIT.c[name] for name in Deed.__dataclass_fields__)).order_by(AUDIT.c.id.desc()).limit(count)
    if word:
        query = query.where(
            or_(*(AUDIT.c[name].contains(word, autoescape=True) for name in ("whom", "request", "detail")))
        )
    with engine.connect() as connection:
        return [Deed(*row) for row in connection.execute(query)]
