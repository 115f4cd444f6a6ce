"""`provision portal`: the launch page, and the personal links by which students come in."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from provision.cli.options import cohort_cloud_option, handout_option
from provision.errors import InvalidInputError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from provision.workflows.orders import CohortFile

database_option = click.option(
    "--database-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A file that holds the database's address (postgresql+psycopg://...), for more than one portal."
    " [PROVISION_PORTAL_DATABASE; default: portal.db beside the handouts]",
)


@click.group()
def portal() -> None:
    """The page on which a student presses one button and gets a machine."""


@portal.command()
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@handout_option
@database_option
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8443, show_default=True, type=click.IntRange(0, 65535), help="On which port.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name that the page is reached by. Repeatable.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="TLS: the certificate's file (PEM).")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="TLS: its private key's file.")
@click.option("--behind", "proxies", metavar="ADDRESSES",
              help="TLS ends at a proxy with one of these addresses, joined by commas: it says who asks.")  # fmt: skip
@click.option("--settings", "place", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="portal.toml: the university's own accounts.  [default: the one beside cohort.toml]")  # fmt: skip
@click.option("--contact", default="", metavar="TEXT", help="Whom students tell when something fails.")
@click.option("--deadline", type=click.FloatRange(min=1), default=900, show_default=True, metavar="SECONDS",
              help="How long a machine may take to be made, and then to prove itself ready.")  # fmt: skip
def serve(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    database_file: Path | None,
    address: str,
    port: int,
    hosts: tuple[str, ...],
    certificate: str | None,
    key: str | None,
    proxies: str | None,
    place: Path | None,
    contact: str,
    deadline: float,
) -> None:
    """Serve the page until interrupted. Stop it and start it again at will: what was begun goes on."""
    from provision.cloud.connection import connect
    from provision.portal.store import open_store
    from provision.portal.visit import Portal, Settings
    from provision.portal.ways import make_portal, read_portal_file
    from provision.workflows.desk import Desk, open_desk
    from provision.workflows.deskoffers import make_offers
    from provision.workflows.orders import read_cohort, read_order

    secure = check_transport(address, certificate, key, proxies)
    file = read_cohort(cohort, folder)
    beside = file.place.parent / "portal.toml"
    ways = read_portal_file(place or beside) if place or beside.exists() else None
    order = read_order(file)
    engine = open_store(database_url(file, database_file), file.cohort)
    link = partial(connect, cloud or file.said.cloud.name)
    desk = Desk(file, order, engine, link, make_offers(file, order, link), deadline=deadline)
    own = (str(urlsplit(ways.url).hostname),) if ways else ("localhost", "127.0.0.1")
    names = tuple(name.lower() for name in hosts) or own
    title = f"{order.course.title} {order.presentation}"
    settings = Settings(title, names, secure, contact, file.said.cohort.end)
    logging.getLogger("provision.portal").setLevel(logging.INFO)
    app = make_portal(Portal(desk, engine, settings), ways)
    with open_desk(desk):
        click.echo(f"Serving {file.cohort} on {'https' if certificate else 'http'}://{address}:{port}/", err=True)
        _listen(app, address, port, certificate, key, proxies)


def _listen(
    app: "Starlette", address: str, port: int, certificate: str | None, key: str | None, proxies: str | None
) -> None:
    import uvicorn

    uvicorn.run(
        app,
        host=address,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        proxy_headers=proxies is not None,
        forwarded_allow_ips=proxies,
        access_log=False,  # it would write the links down; the guard logs, and knows them
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,  # streams never end by themselves
    )


def check_transport(address: str, certificate: str | None, key: str | None, proxies: str | None) -> bool:
    """Whether the page's public address is https. Raises InvalidInputError where passwords would travel in clear."""
    if (certificate is None) != (key is None):
        raise InvalidInputError("A certificate and its key go together.", hint="Give --certificate and --key.")
    if certificate is None and proxies is None and address not in ("127.0.0.1", "::1", "localhost"):
        raise InvalidInputError(
            f"On {address} without TLS, passwords and sessions could be read on their way.",
            hint="Give --certificate and --key, or --behind with the addresses of the proxy that does TLS.",
        )
    return certificate is not None or proxies is not None


def database_url(file: "CohortFile", given: Path | None) -> str:
    """Where sessions and the audit log are kept. An address may hold a password: never on the command line."""
    from provision.workflows.handouts import prepare_folder

    if given:
        return given.read_text().strip()
    if named := os.environ.get("PROVISION_PORTAL_DATABASE"):
        return named
    prepare_folder(file.folder)
    return f"sqlite:///{(file.folder / 'portal.db').absolute()}"


@portal.command()
@click.argument("cohort", metavar="COHORT")
@handout_option
@database_option
@click.option(
    "--url", required=True, metavar="URL", help="The page's public address, such as https://launch.example.org."
)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 400), help="How long the links work.")
@click.option("--student", "only", multiple=True, metavar="ID", help="For this student alone. Repeatable.")
@click.option("--staff", multiple=True, metavar="NAME", help="Also one for a member of staff. Repeatable.")
def links(
    cohort: str,
    folder: Path | None,
    database_file: Path | None,
    url: str,
    days: int,
    only: tuple[str, ...],
    staff: tuple[str, ...],
) -> None:
    """Make a personal one-time link for each student, into a file that is yours alone.

    The links that these students had before end. With --staff alone, only staff get links.
    """
    from provision.errors import NotFoundError
    from provision.portal.links import write_links
    from provision.portal.store import open_store
    from provision.workflows.orders import read_cohort, read_order

    file = read_cohort(cohort, folder)
    order = read_order(file)
    known = {student.id: student for student in order.students}
    if strange := [name for name in only if name not in known]:
        raise NotFoundError(f"Not in the roster: {', '.join(strange)}.")
    students = [known[name] for name in only] if only else [] if staff else list(known.values())
    engine = open_store(database_url(file, database_file), file.cohort)
    place = write_links(engine, file.folder, students, staff, url, days)
    click.echo(f"{len(students) + len(staff)} links, each for one sign-in within {days} days: {place}", err=True)
