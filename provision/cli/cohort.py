"""`provision cohort`: a class of machines, from a cohort.toml to a table of those that are ready."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli.cohort_care import CARE
from provision.cli.cohort_file import FILES
from provision.cli.cohort_handouts import handouts
from provision.cli.cohort_preflight import preflight
from provision.cli.cohort_rebuild import rebuild
from provision.cli.options import cohort_verb
from provision.cli.options import flavor_option as _flavor
from provision.cli.options import image_option as _image
from provision.cli.options import network_option as _network
from provision.cli.options import roster_option as _roster
from provision.cli.options import stack_limit_option as _stack_limit
from provision.cli.outcomes import outcome_row, print_outcomes, raise_outcomes
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.naming import STUDENT_ID
from provision.core.plan import Action, Create, Keep, Leave, Remove, Replace, Wait
from provision.errors import InvalidInputError
from provision.progress import Silent

if TYPE_CHECKING:
    from provision.cloud.connection import Connection
    from provision.workflows.cohort import Standing
    from provision.workflows.orders import CohortFile

PROVE_AGAIN = 60.0  # seconds that a machine which once was ready gets to prove it anew


@click.group()
def cohort() -> None:
    """Launch a class from its cohort.toml, watch it, take it down."""


for command in (*FILES, preflight, handouts, rebuild, *CARE):
    cohort.add_command(command)


_command = partial(cohort_verb, cohort)


@_command("plan")
@_roster
@_image
@_flavor
@_network
@_stack_limit
@format_option
def plan_command(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    roster: Path | None,
    image: str | None,
    flavor: str | None,
    network: str | None,
    stack_limit: int | None,
    output: str,
) -> None:
    """Say what launch would do, and change nothing."""
    from provision.cloud.connection import connect
    from provision.cloud.identity import whoami
    from provision.core.flavors import describe
    from provision.workflows.cohort import plan
    from provision.workflows.orders import Choice, read_cohort, read_order
    from provision.workflows.projects import plan_projects

    file = read_cohort(cohort, folder)
    order = read_order(file, roster, Choice(image, flavor, network, stack_limit))
    connection = connect(cloud or file.said.cloud.name)
    made = (plan if order.tenancy is None else plan_projects)(connection, order)
    networks = [action for action in made.layout.actions if not isinstance(action, Keep)]
    rows = [_action_row(action) for action in (*networks, *made.actions)]
    print_rows(rows, output, columns=("student", "action", "why"))
    caller, found = whoami(connection), made.ground.image
    click.echo(
        f"\n{order.cohort}: image {found.name} ({found.id}), flavor {describe(made.ground.flavor)}, "
        f"external network {made.ground.network}\n"
        f"as {caller.user} in project {caller.project}: {', '.join(caller.roles)}, by {caller.credential}",
        err=True,
    )
    for finding in made.ground.warnings:
        click.echo(f"warning: {finding.meaning}" + (f" {finding.fix}" if finding.fix else ""), err=True)


@_command("launch")
@_roster
@_image
@_flavor
@_network
@_stack_limit
@click.option("--deadline", type=click.FloatRange(min=1), default=900, show_default=True, metavar="SECONDS",
              help="How long a stack may take to be made, and then a machine to prove itself ready.")  # fmt: skip
@progress_option
@format_option
def launch_command(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    roster: Path | None,
    image: str | None,
    flavor: str | None,
    network: str | None,
    stack_limit: int | None,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Give every student a machine that is proved ready.

    Run it again at any time: it completes what is missing and touches nothing that is right.
    """
    from provision.cloud.connection import connect
    from provision.workflows.cohort import launch
    from provision.workflows.handouts import handout_file
    from provision.workflows.letters import letters_folder
    from provision.workflows.orders import Choice, read_cohort, read_order
    from provision.workflows.projects import launch_projects

    file = read_cohort(cohort, folder)
    order = read_order(file, roster, Choice(image, flavor, network, stack_limit))
    outcomes = (launch if order.tenancy is None else launch_projects)(
        connect(cloud or file.said.cloud.name),
        order,
        folder=file.folder,
        deadline=deadline,
        progress=make_progress(form),
    )
    click.echo(f"Passwords and keys: {handout_file(file.folder)}, letters: {letters_folder(file.folder)}", err=True)
    print_outcomes(outcomes, output)


@_command("status")
@format_option
def status_command(cohort: str, cloud: str | None, folder: Path | None, output: str) -> None:
    """Show how every student's machine stands, proved anew."""
    from provision.cloud.connection import connect
    from provision.workflows.cohort import Standing, status
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.tenancy import across

    file = read_cohort(cohort, folder)
    order = read_order(file)
    standings = across(
        connect(cloud or file.said.cloud.name),
        order,
        lambda inside, part, _: status(inside, part, folder=file.folder, deadline=PROVE_AGAIN),
        lambda why: Standing(why.student, Create(why.student), why),
        words="Looking into students' projects",
        progress=Silent(),
    )
    print_standings(standings, output)


def print_standings(standings: "Iterable[Standing]", output: str) -> None:
    """Print how machines stand, and raise StudentsFailedError with the reasons of those that are not ready."""
    standings = list(standings)
    rows = [
        {
            **_action_row(standing.action),
            **({"state": standing.asleep, "why": "sleeps (provision cohort resume)"} if standing.asleep else {}),
            **(outcome_row(standing.outcome, "not ready") if standing.outcome else {}),
        }
        for standing in standings
    ]
    columns = (
        ("student", "state", "url", "stack", "why")
        if output == "table"
        else ("student", "state", "url", "stack", "stage", "reason", "hint")
    )
    print_rows(rows, output, columns=columns)
    raise_outcomes([standing.outcome for standing in standings if standing.outcome])


@_command("delete")
@click.option("--yes", is_flag=True, help="Do not ask for the cohort's name.")
@click.option("--before-end", is_flag=True, help="Even though cohort.toml's end date is still to come.")
@click.option("--deadline", type=click.FloatRange(min=1), default=900, show_default=True, metavar="SECONDS",
              help="How long to wait for the cloud.")  # fmt: skip
@progress_option
def delete_command(
    cohort: str, cloud: str | None, folder: Path | None, yes: bool, before_end: bool, deadline: float, form: str
) -> None:
    """Delete every machine and all that is on it.

    Shows what that is, and asks for the cohort's name. Proves that nothing which bears the cohort's tag is left on the
    cloud. The handouts stay.
    """
    from datetime import date

    from provision.cloud.connection import connect
    from provision.workflows.cohort import delete, find_cohort
    from provision.workflows.ending import check_ended
    from provision.workflows.labels import labels_if_any
    from provision.workflows.orders import read_cohort

    file = read_cohort(cohort, folder)
    if not before_end:
        check_ended(file, date.today())
    name, labels = file.cohort, labels_if_any(file.said.cohort.privacy, file.folder)
    connection = connect(cloud or file.said.cloud.name)
    if file.said.cloud.tenancy == "project per student":
        _delete_projects(connection, file, yes=yes, deadline=deadline, form=form)
        return
    stacks = sorted(find_cohort(connection, name), key=lambda stack: stack.name)
    click.echo(f"These machines are deleted, with their disks, networks and addresses ({len(stacks)}):", err=True)
    for stack in stacks:
        student = labels.student(stack.student)
        whose = "" if student == stack.student else f"  of {student}"
        click.echo(f"  {stack.name}  {stack.status}  made {stack.created}{whose}", err=True)
    if not yes:
        ask_for_name(name)
    count = delete(connection, name, deadline=deadline, progress=make_progress(form))
    click.echo(f"{count} deleted. Nothing of {name} is left on the cloud; its handouts are kept.")


def _delete_projects(connection: "Connection", file: "CohortFile", *, yes: bool, deadline: float, form: str) -> None:
    from provision.workflows.orders import read_order
    from provision.workflows.projects import delete_projects, shared_images
    from provision.workflows.tenancy import find_homes

    order = read_order(file)
    homes = find_homes(connection, order)
    click.echo(f"These projects are deleted, with the machines in them ({len(homes)}):", err=True)
    for home in homes:
        click.echo(f"  {home.project.name}  of {home.student}", err=True)
    if not yes:
        ask_for_name(file.cohort)
    images = shared_images(connection, order)
    count = delete_projects(connection, order, images, deadline=deadline, progress=make_progress(form))
    click.echo(
        f"{count} machines and {len(homes)} projects deleted. Nothing of {file.cohort} is left on the cloud; its "
        "handouts are kept."
    )


def ask_for_name(cohort: str) -> None:
    """Have the cohort's name typed, which nobody does by mistake. Raises InvalidInputError for any other."""
    typed = click.prompt(f"Type the cohort's name ({cohort}) to go on", err=True)
    if typed.strip() != cohort:
        raise InvalidInputError(f"{typed.strip()!r} is not {cohort}: nothing was deleted.")


_WORDS: Mapping[type[Action], tuple[str, str]] = {
    Create: ("create", "has no machine"),
    Wait: ("wait", "is being made"),
    Keep: ("keep", "has a machine"),
    Replace: ("replace", "its stack failed"),
    Remove: ("remove", "a second stack of the same name"),
    Leave: ("leave", "is not in the roster"),
}


def _action_row(action: Action) -> dict[str, Any]:
    verb, why = _WORDS[type(action)]
    if isinstance(action, Create):
        why = why if STUDENT_ID.fullmatch(action.student) else "is needed for new machines"
        return {"student": action.student, "action": verb, "why": why, "state": "missing"}
    return {
        "student": action.student,
        "action": verb,
        "why": f"{why} ({action.stack.status})",
        "state": verb,
        "stack": action.stack.name,
    }
