"""`provision snapshot`: a student's machine as it is now, kept on the cloud and written back when asked for."""

from datetime import UTC, datetime
from pathlib import Path

import click

from provision.cli.machine import ask_for
from provision.cli.machine_words import deadline_option, named, verb
from provision.cli.outcomes import print_outcomes
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.progress import amount


@click.group()
def snapshot() -> None:
    """Keep a student's machine as it is, and go back to that."""


@verb("save", "Keep the machine as it is now.")
@click.option("--name", metavar="NAME", help="What it is called.  [default: the time]")
@deadline_option(1800)
@progress_option
def save(
    words: tuple[str, ...], cloud: str | None, folder: Path | None, name: str | None, deadline: float, form: str
) -> None:
    """Keep the disk of the machine as it is now, as an image on the cloud: as if its power were cut just then.

    For a clean one halt the machine first (halt, save, resume).
    """
    from provision.workflows.snapshots import save as keep

    who = named(words, cloud, folder)
    name = name or datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    made = keep(
        who.connect(), who.order(stands=True), who.student, name, deadline=deadline, progress=make_progress(form)
    )
    click.echo(f"{made.name} is kept ({amount(made.size)}).")


@verb("list", "Show what is kept, with its age and size.")
@format_option
def list_command(words: tuple[str, ...], cloud: str | None, folder: Path | None, output: str) -> None:
    """Show the snapshots of the machine, the newest first."""
    from provision.workflows.snapshots import list_snapshots

    who = named(words, cloud, folder)
    now = datetime.now(UTC)
    rows = [
        {
            "name": each.name,
            "age": _age(each.age(now)) if output == "table" else round(each.age(now)),
            "size": amount(each.size) if output == "table" else each.size,
            "status": each.status,
            "id": each.id,
        }
        for each in list_snapshots(who.connect(), who.order(stands=True), who.student)
    ]
    print_rows(rows, output, columns=("name", "age", "size", "status", "id"))


def _age(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


@verb("restore", "Go back to what was kept: what is on the machine now is lost.")
@click.option("--name", metavar="NAME", help="Which one.  [default: the newest]")
@click.option("--yes", is_flag=True, help="Do not ask for the student's id.")
@deadline_option(900)
@progress_option
@format_option
def restore(
    words: tuple[str, ...],
    cloud: str | None,
    folder: Path | None,
    name: str | None,
    yes: bool,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Write a snapshot over the machine's disk, and prove the machine ready. What is on it now is lost.

    Its address stays, and so does the password that it had when the snapshot was made.
    """
    from provision.clock import REAL
    from provision.workflows.lifecycle import find_stacks
    from provision.workflows.machine import reach_of
    from provision.workflows.power import prove_all
    from provision.workflows.snapshots import find_snapshot
    from provision.workflows.snapshots import restore as go_back

    who = named(words, cloud, folder)
    connection, order, progress = who.connect(), who.order(stands=True), make_progress(form)
    found = find_snapshot(connection, order, who.student, name)
    age = _age(found.age(datetime.now(UTC)))
    click.echo(
        f"All that {who.student} did since {found.created} ({age}) is lost: {found.name} takes its place.", err=True
    )
    if not yes:
        ask_for(who.student, "student's id", "nothing was changed")
    go_back(connection, order, who.student, found, deadline=deadline, progress=progress)
    stacks = find_stacks(connection, order, who.student)[:1]
    reach = reach_of(order, who.file.folder, deadline)
    proved = prove_all(connection, order, stacks, reach, progress, REAL)
    print_outcomes(proved.values(), output)


@verb("delete", "Delete what was kept.")
@click.option("--name", metavar="NAME", required=True, help="Which one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(words: tuple[str, ...], cloud: str | None, folder: Path | None, name: str, yes: bool) -> None:
    """Delete a snapshot. The machine stays as it is."""
    from provision.workflows.snapshots import delete as forget
    from provision.workflows.snapshots import find_snapshot

    who = named(words, cloud, folder)
    connection = who.connect()
    found = find_snapshot(connection, who.order(stands=True), who.student, name)
    if not yes:
        click.confirm(
            f"Delete the snapshot {found.name} of {who.student} ({amount(found.size)})?", abort=True, err=True
        )
    forget(connection, found)
    click.echo(f"{found.name} is deleted.")


for command in (save, list_command, restore, delete):
    snapshot.add_command(command)
