"""`provision open` and `provision tunnel`: a student's machine in this computer's browser, and its ports here."""

import re
import webbrowser
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from provision.cli.machine_words import deadline_option, jump_option, named, verb
from provision.cli.progress import make_progress, progress_option

if TYPE_CHECKING:
    from provision.guests.lent import Lent
    from provision.guests.tunnel import Forward


@verb("open", "Open a student's machine in the browser, awake and through a tunnel if need be.")
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open no browser.")
@click.option("--tunnel", "by_tunnel", is_flag=True, help="Through SSH, whether or not the pages are reached straight.")
@jump_option
@deadline_option(900)
@progress_option
def open_command(
    words: tuple[str, ...],
    cloud: str | None,
    folder: Path | None,
    only_print: bool,
    by_tunnel: bool,
    jump: str | None,
    deadline: float,
    form: str,
) -> None:
    """Open the machine's pages in the browser. One that sleeps is woken first.

    Where they are not reached straight, a tunnel through SSH leads to them for as long as this runs (Ctrl-C ends it).
    """
    from provision.workflows.power import wake
    from provision.workflows.reaching import hold_pages, is_public

    who, progress = named(words, cloud, folder), make_progress(form)
    connection = who.connect()
    access = who.access(connection)
    wake(connection, who.order(stands=True), who.student, deadline=deadline, progress=progress)

    def show(url: str) -> None:
        click.echo(url)
        if not only_print and not webbrowser.open(url):
            _say("No browser was found here: open that address in one.")

    if not (by_tunnel or jump) and is_public(access, deadline):
        show(access.url)
        return
    _say("The pages are reached through SSH while this runs. Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        hold_pages(access, jump=jump, on_up=show, say=_say, deadline=deadline, stop=Event())


@verb("tunnel", "Hold ports of a student's machine open here; lend it packages.")
@click.option("-L", "--local", "ports", multiple=True, metavar="[LOCAL:[HOST:]]PORT",
              help="A port of the machine, or of HOST as it sees it, at LOCAL here; may be given several times.  "
              "[default: its pages]")  # fmt: skip
@click.option("--apt", is_flag=True, help="Lend apt and pip there this computer's access to packages meanwhile.")
@click.option("--allow", multiple=True, metavar="HOST[:PORT]", help="With --apt: another place that may be asked.")
@jump_option
@deadline_option(120)
def tunnel(
    words: tuple[str, ...],
    cloud: str | None,
    folder: Path | None,
    ports: tuple[str, ...],
    apt: bool,
    allow: tuple[str, ...],
    jump: str | None,
    deadline: float,
) -> None:
    """Hold ports of the machine open at this computer, for as long as this runs (Ctrl-C ends it).

    A link that drops is made again. What --apt puts on the machine is gone when this ends.
    """
    from provision.guests.lent import find_sources
    from provision.workflows.reaching import hold_ports, pages_through

    forwards = [parse_forward(each) for each in ports]
    who = named(words, cloud, folder)
    access = who.access(who.connect())
    if not forwards and not apt:
        forwards = [pages_through(access)[1]]
    if apt:
        _say("Asking pip and apt where this computer gets packages.")
    sources = find_sources(allow) if apt else None
    if sources:
        _say("Lent: " + ", ".join(sorted(f"{host}:{port}" for host, port in sources.places)))

    def up(lent: "Lent | None") -> None:
        for each in forwards:
            click.echo(str(each))
        if lent:
            _tell(lent)

    with suppress(KeyboardInterrupt):
        hold_ports(access, forwards, jump=jump, sources=sources, on_up=up, say=_say, deadline=deadline, stop=Event())


def _tell(lent: "Lent") -> None:
    click.echo(f"Packages are lent to the machine ({', '.join(lent.what) or 'shells alone'}). In a shell there:")
    click.echo(f"  . {lent.environment}")
    if "apt" not in lent.what:
        _say("Its user may not become root there, so that apt installs nothing: pip does.")


def parse_forward(words: str) -> "Forward":
    """What [LOCAL:[HOST:]]PORT means; without LOCAL it is the same port here, if that is free."""
    from provision.guests.tunnel import HERE, Forward, free_port

    found = re.fullmatch(r"(?:(?P<local>\d{1,5}):)?(?:(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):)?(?P<there>\d{1,5})", words)
    ports = [int(found[name]) for name in ("local", "there") if found[name]] if found else []
    if not found or not all(0 < port < 65536 for port in ports):
        raise click.BadParameter(f"{words!r} is not [LOCAL:[HOST:]]PORT, such as 5432 or 8080:3333.", param_hint="-L")
    there = int(found["there"])
    return Forward(int(found["local"] or 0) or free_port(there), there, found["host"] or HERE)


def _say(words: str) -> None:
    click.echo(words, err=True)
