"""`provision pool`: machines that are ready before anybody asks for them."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli.options import cohort_verb, flavor_option, image_option, network_option
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option

if TYPE_CHECKING:
    from provision.core.cohort import Cohort
    from provision.core.pool import Terms
    from provision.workflows.orders import Choice, CohortFile
    from provision.workflows.pool import Pool
    from provision.workflows.warming import Look


@click.group()
def pool() -> None:
    """Keep machines of a class booted and proved, so that a student who comes has one in seconds."""


_command = partial(cohort_verb, pool)


@_command("start")
@click.option("--size", type=click.IntRange(0, 1000), help="How many wait, whatever [pool] in cohort.toml says.")
@click.option(
    "--keep", is_flag=True, help="Go on: refill, follow the timetable, give back what is idle. Ctrl-C ends it."
)
@image_option
@flavor_option
@network_option
@click.option("--deadline", type=click.FloatRange(min=1), default=900, show_default=True, metavar="SECONDS",
              help="How long a machine may take to prove itself before it is made anew.")  # fmt: skip
@progress_option
@format_option
def start_command(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    size: int | None,
    keep: bool,
    image: str | None,
    flavor: str | None,
    network: str | None,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Have as many machines wait for COHORT's students as cohort.toml wants now.

    Each is booted, proved and nobody's. Run it again at any time: it makes what is missing, settles claims that were
    killed, and deletes what failed. A machine that waits costs what a student's machine costs.
    """
    from provision.guests.pooled import waiting_stages
    from provision.workflows.handouts import caretaker_key
    from provision.workflows.orders import Choice, read_cohort
    from provision.workflows.stocking import Keeper
    from provision.workflows.warming import start

    file = read_cohort(cohort, folder)
    opened = _open(file, cloud, Choice(image, flavor, network))
    keeper = Keeper(opened, _terms(file.said, size), waiting_stages(caretaker_key(file.folder)), deadline)
    _print(opened, start(keeper, make_progress(form), keep=keep), output)


@_command("status")
@format_option
def status_command(cohort: str, cloud: str | None, folder: Path | None, output: str) -> None:
    """Show which machines wait, which are on their way, which were claimed, and how many are wanted now."""
    from provision.workflows.orders import read_cohort
    from provision.workflows.warming import look

    file = read_cohort(cohort, folder)
    opened = _open(file, cloud)
    _print(opened, look(opened, _terms(file.said, None)), output)


@_command("drain")
@click.option("--deadline", type=click.FloatRange(min=1), default=900, show_default=True, metavar="SECONDS",
              help="How long to wait for the cloud.")  # fmt: skip
@progress_option
def drain_command(cohort: str, cloud: str | None, folder: Path | None, deadline: float, form: str) -> None:
    """Delete COHORT's machines that are nobody's. Those that students have stay.

    Stop `provision pool start --keep` first: it would fill the pool again.
    """
    from provision.workflows.orders import read_cohort
    from provision.workflows.warming import drain

    file = read_cohort(cohort, folder)
    count = drain(_open(file, cloud), make_progress(form), deadline=deadline)
    click.echo(f"{count} deleted. No machine waits for {file.cohort}'s students any more.")


def _open(file: "CohortFile", cloud: str | None, options: "Choice | None" = None) -> "Pool":
    from provision.cloud.connection import connect
    from provision.guests.pooled import bind_by
    from provision.workflows.handouts import caretaker_key
    from provision.workflows.orders import Choice, read_order
    from provision.workflows.pool import Pool
    from provision.workflows.tenancy import check_one_project

    order = read_order(file, options=options or Choice())
    check_one_project(order, "The pool")
    return Pool(connect(cloud or file.said.cloud.name), order, file.folder, bind_by(caretaker_key(file.folder)))


def _terms(said: "Cohort", size: int | None) -> "Terms":
    from provision.core.pool import Terms, parse_hours

    if size is not None:
        return Terms(size)
    wish = said.pool
    hours = tuple(map(parse_hours, wish.timetable))
    return replace(Terms(wish.size, hours), ahead=timedelta(minutes=wish.ahead), idle=timedelta(minutes=wish.idle))


def _print(opened: "Pool", seen: "Look", output: str) -> None:
    labels, held = opened.order.labels, {claim.stack for claim in seen.claims}
    warm = {stack.id for stack in seen.warm}
    rows: list[dict[str, Any]] = [
        {
            "machine": stack.name,
            "state": "waits" if stack.id in warm else "being claimed" if stack.id in held else "not ready",
            "student": "",
            "stack": stack.status,
        }
        for stack in sorted(seen.free, key=lambda stack: stack.created)
    ]
    for stack in sorted(seen.taken, key=lambda stack: stack.updated):
        student = labels.student(stack.student)
        rows.append({"machine": stack.name, "state": "claimed", "student": student, "stack": stack.status})
    print_rows(rows, output, columns=("machine", "state", "student", "stack"))
    click.echo(f"{len(warm)} wait, {seen.want} are wanted now.", err=True)
