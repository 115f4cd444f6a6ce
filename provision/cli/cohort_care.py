"""What is done with a class between its launch and its end: `provision cohort suspend`, `resume` and others."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.options import cohort_cloud_option, handout_option
from provision.cli.outcomes import print_outcomes, raise_failed
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.outcome import Failed
from provision.errors import CloudError
from provision.progress import Progress, Silent

if TYPE_CHECKING:
    from provision.cloud.connection import Connection
    from provision.core.drift import Repair
    from provision.core.outcome import Outcome
    from provision.core.usage import Usage
    from provision.workflows.orders import Order


def _deadline(seconds: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("--deadline", type=click.FloatRange(min=1), default=seconds, show_default=True,
                        metavar="SECONDS", help="How long to wait for the cloud and for the machines.")  # fmt: skip


@click.command(short_help="Put every machine to sleep; what is on it stays.")
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@handout_option
@click.option("--shelve", is_flag=True, help="Free the compute nodes, too. Waking up takes longer, and needs room.")
@_deadline(900)
@progress_option
@format_option
def suspend(
    cohort: str, cloud: str | None, folder: Path | None, shelve: bool, deadline: float, form: str, output: str
) -> None:
    """Put every machine of COHORT to sleep, its gateways too. What is on them, and their addresses, stay.

    A suspended machine's programs go on where they were. A shelved one boots again, and frees memory and vCPUs for
    others meanwhile. Run it again at any time: what sleeps already is left alone.
    """
    from provision.cloud.connection import connect
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.power import suspend as lay
    from provision.workflows.tenancy import across

    file = read_cohort(cohort, folder)
    outcomes = across(
        connect(cloud or file.said.cloud.name),
        read_order(file),
        lambda inside, part, progress: lay(inside, part, shelve=shelve, deadline=deadline, progress=progress),
        lambda why: why,
        words="Suspending machines",
        progress=make_progress(form),
    )
    rows = [
        {"student": each.student, "state": "failed", "why": each.reason}
        if isinstance(each, Failed)
        else {"student": each.student, "state": each.state, "why": ""}
        for each in outcomes
    ]
    print_rows(rows, output, columns=("student", "state", "why"))
    raise_failed([each for each in outcomes if isinstance(each, Failed)], len(outcomes), "do not sleep")


@click.command(short_help="Wake every machine, proved ready.")
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@handout_option
@_deadline(900)
@progress_option
@format_option
def resume(cohort: str, cloud: str | None, folder: Path | None, deadline: float, form: str, output: str) -> None:
    """Wake every machine of COHORT, suspended, shelved or stopped, and prove each ready again."""
    from provision.cloud.connection import connect
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.power import resume as wake
    from provision.workflows.tenancy import across

    file = read_cohort(cohort, folder)
    outcomes = across(
        connect(cloud or file.said.cloud.name),
        read_order(file),
        lambda inside, part, progress: wake(inside, part, folder=file.folder, deadline=deadline, progress=progress),
        lambda why: why,
        words="Resuming machines",
        progress=make_progress(form),
    )
    print_outcomes(outcomes, output)


@click.command(short_help="Heal what failed, got stuck or was changed by hand.")
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@handout_option
@click.option("--dry-run", is_flag=True, help="Say what is wrong and what would be done, and change nothing.")
@click.option("--replace", is_flag=True, help="Make machines anew that cannot be saved: what is on them is lost.")
@_deadline(900)
@progress_option
@format_option
def repair(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    dry_run: bool,
    replace: bool,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Heal what is wrong with COHORT, and prove those machines ready; all others are left alone.

    Stacks that failed or got stuck are made anew. Machines that stopped are started, floating IPs and rules that are
    gone are put back, and rules are closed that cohort.toml does not open. Students' work stays, but for --replace.
    """
    from datetime import UTC

    from provision.cloud.connection import connect
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.repair import With
    from provision.workflows.repair import repair as heal
    from provision.workflows.tenancy import across

    file = read_cohort(cohort, folder)
    connection, order = connect(cloud or file.said.cloud.name), read_order(file)
    progress = make_progress(form)
    found = _find(connection, order, datetime.now(UTC), progress)
    lost = [each for _, each in found if isinstance(each, Failed)]
    repairs = [each for _, each in found if not isinstance(each, Failed)]
    rows = [{"student": each.student, "repair": _cure(each, replace=replace), "why": each.why} for each in repairs]
    if dry_run or not repairs:
        print_rows(rows, output, columns=("student", "repair", "why"))
        click.echo(f"{order.cohort}: {len(repairs) or 'nothing'} to repair.", err=True)
        raise_failed(lost, len(lost), "cannot be looked at")
        return
    for row in rows:
        click.echo(f"{row['student']}: {row['repair']}: {row['why']}", err=True)
    terms = With(file.folder, deadline, replace)

    def heal_there(inside: "Connection", part: "Order", quiet: Progress) -> "Iterable[Outcome]":
        there = [each for place, each in found if place == inside.current_project_id and not isinstance(each, Failed)]
        return heal(inside, part, there, terms, quiet)

    outcomes = across(connection, order, heal_there, lambda why: why, words="Repairing", progress=progress)
    print_outcomes(outcomes, output)


def _find(
    connection: "Connection", order: "Order", now: datetime, progress: Progress
) -> "list[tuple[str | None, Repair | Failed]]":
    """What is wrong with the cohort, by the id of the project it is in; and which of them cannot be looked into."""
    from provision.workflows.repair import find_repairs
    from provision.workflows.tenancy import across

    def find(inside: "Connection", part: "Order", _quiet: Progress) -> "Iterable[tuple[str | None, Repair | Failed]]":
        return [(inside.current_project_id, each) for each in find_repairs(inside, part, now)]

    words = "Looking into students' projects"
    return across(connection, order, find, lambda why: (None, why), words=words, progress=progress)


def _cure(each: "Repair", *, replace: bool) -> str:
    return "replace, if nothing is left of it" if each.loses and not replace else _CURES[each.cure]


_CURES = {
    "replace": "replace",
    "start": "start",
    "reboot": "reboot",
    "address": "new floating IP",
    "update": "have Heat complete it",
    "open": "open",
    "close": "close",
    "remove": "remove",
}


@click.command(short_help="Say what the machines have used, and what the next class will need.")
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@handout_option
@click.option("--next", "students", type=click.IntRange(min=1), metavar="N",
              help="The next class has N students.  [default: as many as this one]")  # fmt: skip
@format_option
def report(cohort: str, cloud: str | None, folder: Path | None, students: int | None, output: str) -> None:
    """Say what each machine of COHORT has used since it was made, and what the next class will need.

    Hours count from a machine's making, whether it slept or not. CSV has the machines alone.
    """
    from datetime import UTC

    from provision.cloud.connection import connect
    from provision.core.usage import total
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.report import report_all

    file = read_cohort(cohort, folder)
    made = report_all(connect(cloud or file.said.cloud.name), file, read_order(file), datetime.now(UTC), students)
    rows = [_rounded(each) for each in made.used]
    if output == "json":
        needed = made.needed
        click.echo(json.dumps({"machines": rows, "all": _rounded(total(made.used)), "next": needed}, indent=2))
        return
    if output == "csv":
        print_rows(rows, output, columns=USED)
        return
    print_rows([*rows, _rounded(total(made.used))], output, columns=USED)
    click.echo("\nThe next class needs:")
    print_rows(
        [{"what": what, "needed": needed} for what, needed in made.needed.items()], output, columns=("what", "needed")
    )


USED = ("student", "state", "flavor", "hours", "vcpu_hours", "memory_hours", "disk_hours", "floating_ips")


def _rounded(used: "Usage") -> dict[str, object]:
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(used).items()}


@click.command(short_help="Delete what bears a cohort's tag and is no stack's.")
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@_deadline(300)
@progress_option
def gc(cohort: str, cloud: str | None, yes: bool, deadline: float, form: str) -> None:
    """Delete what bears COHORT's tag and belongs to no stack: what a broken cloud, or somebody by hand, left behind.

    Shows what that is, and asks. Machines that stand are no part of it.
    """
    from provision.cloud.connection import connect
    from provision.workflows.leftovers import delete_leftovers, find_leftovers
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.tenancy import across

    file = read_cohort(cohort)
    connection = connect(cloud or file.said.cloud.name)
    if file.said.cloud.tenancy == "project per student":
        places = across(connection, read_order(file), lambda inside, *_: [inside], _raise, words="", progress=Silent())
    else:
        places = [connection]
    by_place = [(each, find_leftovers(each, file.cohort)) for each in places]
    found = [thing for _, things in by_place for thing in things]
    if not found:
        click.echo(f"Nothing bears the tag of {file.cohort} without a stack.")
        return
    click.echo(f"These are no stack's, and are deleted ({len(found)}):", err=True)
    for each in found:
        click.echo(f"  {each}  {each.id}", err=True)
    if not yes:
        click.confirm("Delete them?", abort=True, err=True)
    progress = make_progress(form)
    count = sum(
        delete_leftovers(place, file.cohort, things, deadline=deadline, progress=progress)
        for place, things in by_place
        if things
    )
    click.echo(f"{count} deleted.")


def _raise(why: Failed) -> "Connection":
    raise CloudError(f"{why.student}: {why.reason}", hint=why.hint)


@click.command(short_help="Move a cohort's last day.")
@click.argument("cohort", metavar="COHORT")
@click.argument("day", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]))
def extend(cohort: str, day: datetime) -> None:
    """Make DATE (such as 2027-06-30) the last day of COHORT, before which delete refuses.

    It is written into cohort.toml, where all else stays as it is. No cloud is asked.
    """
    from provision.workflows.ending import extend as move
    from provision.workflows.orders import read_cohort

    file = read_cohort(cohort)
    move(file, day.date())
    before = file.said.cohort.end
    click.echo(f"{file.cohort} is needed until {day.date()}" + (f", not {before}." if before else "."))


CARE = (report, repair, suspend, resume, extend, gc)
