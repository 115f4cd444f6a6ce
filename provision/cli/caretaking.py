"""What is asked of a machine from inside: `provision password reset`, `provision backup`, `provision restore`."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.machine_words import Named
from provision.cli.options import cohort_cloud_option, handout_option
from provision.cli.outcomes import raise_failed
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.cloud.connection import Connection
    from provision.guests.caretaker import Door
    from provision.progress import Progress
    from provision.workflows.caretaking import Saved
    from provision.workflows.orders import CohortFile, Order

folder_type = click.Path(file_okay=False, path_type=Path)


@click.group()
def password() -> None:
    """The passwords that open students' machines."""


@password.command("reset", short_help="Give a student another password.")
@click.argument("cohort", metavar="COHORT")
@click.argument("student", metavar="STUDENT")
@cohort_cloud_option
@handout_option
def reset(cohort: str, student: str, cloud: str | None, folder: Path | None) -> None:
    """Give STUDENT of COHORT another password, shown here once and put into handout and letter.

    Whoever is signed in with the old one is out, and what runs in notebooks ends.
    """
    from provision.workflows.caretaking import reset_password
    from provision.workflows.orders import read_cohort

    file = read_cohort(cohort, folder)
    who = Named(file, student, cloud)
    click.echo(reset_password(_door(who), file.folder, who.order(stands=True), student))


@click.command(short_help="Copy students' files from their machines to here.")
@click.argument("cohort", metavar="COHORT")
@click.argument("students", metavar="[STUDENT]...", nargs=-1)
@click.option("--to", type=folder_type, help="The folder of all backups.  [default: backups/COHORT beside cohort.toml]")
@click.option("--keep", type=click.IntRange(min=1), default=5, show_default=True, help="How many a student.")
@click.option(
    "--max-age",
    type=click.FloatRange(min=0),
    default=0,
    metavar="MINUTES",
    help="Leave out who has a backup that is not older: so a run that was stopped goes on.",
)
@cohort_cloud_option
@handout_option
@progress_option
@format_option
def backup(
    cohort: str,
    students: tuple[str, ...],
    to: Path | None,
    keep: int,
    max_age: float,
    cloud: str | None,
    folder: Path | None,
    form: str,
    output: str,
) -> None:
    """Copy the course's folders of every machine of COHORT, or of these STUDENTs, into a file each.

    Each is proved whole by the SHA-256 of every file in it before it gets its name. One that equals the last takes no
    place of its own.
    """
    from provision.cloud.connection import connect
    from provision.workflows.caretaking import Wanted, back_up
    from provision.workflows.observing import observe_chosen
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.tenancy import across

    file = read_cohort(cohort, folder)
    connection, order = connect(cloud or file.said.cloud.name), read_order(file)
    wanted = Wanted(to or _backups(file), keep, timedelta(minutes=max_age))

    def save(inside: "Connection", part: "Order", progress: "Progress") -> "Iterable[Saved | Failed]":
        stacks = observe_chosen(inside, part, students if order.tenancy is None else ())
        return back_up(inside, stacks, file.folder, wanted, progress)

    progress = make_progress(form)
    outcomes = across(connection, order, save, lambda why: why, words="Backing up", progress=progress, only=students)
    print_rows([_row(each) for each in outcomes], output, columns=("student", "state", "files", "file"))
    for each in outcomes:
        if not isinstance(each, Failed) and each.skipped:
            click.echo(f"{each.student}: not in the backup: {'; '.join(each.skipped)}", err=True)
    raise_failed([each for each in outcomes if isinstance(each, Failed)], len(outcomes), "are not backed up")


@click.command(short_help="Put a student's files back onto the machine.")
@click.argument("cohort", metavar="COHORT")
@click.argument("student", metavar="STUDENT")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="A backup, or a folder of backups as --to had it.  [default: the newest in backups/COHORT]",
)
@cohort_cloud_option
@handout_option
def restore(cohort: str, student: str, source: Path | None, cloud: str | None, folder: Path | None) -> None:
    """Put the newest backup of STUDENT of COHORT back onto the machine, proved by the SHA-256 of every file in it.

    What is there now stays on the machine, in a folder beside it.
    """
    from provision.workflows.caretaking import restore as put_back
    from provision.workflows.generations import Shelf, newest_file
    from provision.workflows.orders import read_cohort

    file = read_cohort(cohort, folder)
    taken = source if source and not source.is_dir() else newest_file(Shelf(source or _backups(file), student))
    done = put_back(_door(Named(file, student, cloud)), taken)
    kept = f"; what was there is in ~/{done.kept}" if done.kept else "; nothing differed"
    click.echo(f"{done.files} files of {taken} are on {student}'s machine{kept}.")


def _backups(file: "CohortFile") -> Path:
    return file.place.parent / "backups" / file.cohort


def _door(who: Named) -> "Door":
    """The caretaker's way into a student's machine."""
    from provision.workflows.caretaking import door_of
    from provision.workflows.labels import read_labels
    from provision.workflows.machine import find_stack

    file, connection = who.file, who.connect()
    labels = read_labels(file.said.cohort.privacy, file.folder, [who.student])
    return door_of(connection, find_stack(connection, file.cohort, who.student, labels), file.folder)


def _row(outcome: "Saved | Failed") -> dict[str, object]:
    if isinstance(outcome, Failed):
        return {"student": outcome.student, "state": "failed"}
    state = "saved" if outcome.new else "unchanged"
    return {"student": outcome.student, "state": state, "files": outcome.files, "file": outcome.file}
