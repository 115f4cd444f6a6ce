"""`provision cohort`: a class of machines, from a cohort.toml to a table of those that are ready."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from provision.cli.cohort_file import FILES
from provision.cli.options import cohort_cloud_option, handout_option, roster_type
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.naming import STUDENT_ID
from provision.core.outcome import Failed, Outcome, Ready
from provision.core.plan import Action, Create, Keep, Leave, Remove, Replace, Wait
from provision.errors import StudentsFailedError

PROVE_AGAIN = 60.0  # seconds that a machine which once was ready gets to prove it anew


@click.group()
def cohort() -> None:
    """Launch a class from its cohort.toml, watch it, take it down."""


for command in FILES:
    cohort.add_command(command)


def _command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A verb on COHORT, the path of a cohort.toml or of the folder that holds it."""

    def decorate(function: Callable[..., None]) -> click.Command:
        for wrap in (cohort_cloud_option, handout_option, click.argument("cohort", metavar="COHORT")):
            function = wrap(function)
        return cohort.command(name)(function)

    return decorate


_roster = click.option("--roster", type=roster_type, help="Other students than those of cohort.toml's roster.")
_image = click.option("--image", metavar="IMAGE", help="Another image than cohort.toml's: an id, a name, or a build.")
_flavor = click.option("--flavor", metavar="NAME", help="Another flavor than cohort.toml's.")
_network = click.option("--external-network", "network", metavar="NAME", help="Another than cohort.toml's.")


@_command("plan")
@_roster
@_image
@_flavor
@_network
@format_option
def plan_command(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    roster: Path | None,
    image: str | None,
    flavor: str | None,
    network: str | None,
    output: str,
) -> None:
    """Say what launch would do, and change nothing."""
    from provision.cloud.compute import describe
    from provision.cloud.connection import connect
    from provision.cloud.identity import whoami
    from provision.workflows.cohort import plan
    from provision.workflows.orders import read_cohort, read_order

    file = read_cohort(cohort, folder)
    order, said = read_order(file, roster), file.said
    connection = connect(cloud or said.cloud.name)
    made = plan(
        connection,
        order,
        image=image or said.machine.image,
        flavor=flavor or said.machine.flavor,
        network=network or said.network.external_network,
    )
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


@_command("launch")
@_roster
@_image
@_flavor
@_network
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
    from provision.workflows.orders import read_cohort, read_order

    file = read_cohort(cohort, folder)
    order, said = read_order(file, roster), file.said
    outcomes = launch(
        connect(cloud or said.cloud.name),
        order,
        image=image or said.machine.image,
        flavor=flavor or said.machine.flavor,
        network=network or said.network.external_network,
        folder=file.folder,
        deadline=deadline,
        progress=make_progress(form),
    )
    click.echo(f"Passwords and keys: {handout_file(file.folder)}", err=True)
    print_outcomes(outcomes, output)


@_command("status")
@format_option
def status_command(cohort: str, cloud: str | None, folder: Path | None, output: str) -> None:
    """Show how every student's machine stands, proved anew."""
    from provision.cloud.connection import connect
    from provision.workflows.cohort import status
    from provision.workflows.orders import read_cohort, read_order

    file = read_cohort(cohort, folder)
    order = read_order(file)
    standings = status(connect(cloud or file.said.cloud.name), order, folder=file.folder, deadline=PROVE_AGAIN)
    rows = [
        {**_action_row(standing.action), **(_outcome_row(standing.outcome, "not ready") if standing.outcome else {})}
        for standing in standings
    ]
    columns = (
        ("student", "state", "url", "stack", "why")
        if output == "table"
        else ("student", "state", "url", "stack", "stage", "reason", "hint")
    )
    print_rows(rows, output, columns=columns)
    _raise_failed([standing.outcome for standing in standings if standing.outcome])


@_command("delete")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--deadline", type=click.FloatRange(min=1), default=900, show_default=True, metavar="SECONDS",
              help="How long to wait for the cloud.")  # fmt: skip
@progress_option
def delete_command(cohort: str, cloud: str | None, folder: Path | None, yes: bool, deadline: float, form: str) -> None:
    """Delete every machine and all that is on it.

    Proves that nothing which bears the cohort's tag is left on the cloud. The handouts stay.
    """
    from provision.cloud.connection import connect
    from provision.workflows.cohort import delete, find_cohort
    from provision.workflows.labels import labels_if_any
    from provision.workflows.orders import read_cohort

    file = read_cohort(cohort, folder)
    name, labels = file.cohort, labels_if_any(file.said.cohort.privacy, file.folder)
    connection = connect(cloud or file.said.cloud.name)
    stacks = sorted(find_cohort(connection, name), key=lambda stack: stack.name)
    click.echo(f"These machines are deleted, with their disks, networks and addresses ({len(stacks)}):", err=True)
    for stack in stacks:
        student = labels.student(stack.student)
        whose = "" if student == stack.student else f"  of {student}"
        click.echo(f"  {stack.name}  {stack.status}  made {stack.created}{whose}", err=True)
    if not yes:
        click.confirm("Delete them?", abort=True, err=True)
    count = delete(connection, name, deadline=deadline, progress=make_progress(form))
    click.echo(f"{count} deleted. Nothing of {name} is left on the cloud; its handouts are kept.")


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


def _outcome_row(outcome: Outcome, failed: str = "failed") -> dict[str, Any]:
    if isinstance(outcome, Ready):
        return {"student": outcome.student, "state": "ready", "url": outcome.url, "why": ""}
    words = f"{outcome.stage}: {outcome.reason}"
    row = {"stage": outcome.stage, "reason": outcome.reason, "hint": outcome.hint, "why": words}
    return {"student": outcome.student, "state": failed, **row}


def print_outcomes(outcomes: Iterable[Outcome], output: str) -> None:
    """Print who has a ready machine, and raise StudentsFailedError with the reasons of those who have none."""
    outcomes = list(outcomes)
    columns = ("student", "state", "url") + (() if output == "table" else ("stage", "reason", "hint"))
    print_rows([_outcome_row(outcome) for outcome in outcomes], output, columns=columns)
    _raise_failed(outcomes)


def _raise_failed(outcomes: Iterable[Outcome]) -> None:
    """Exit code 4, with each failure's reason and what to do, if any student has no ready machine."""
    outcomes = list(outcomes)
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    if not failed:
        return
    lines = [f"{len(failed)} of {len(outcomes)} machines are not ready:"]
    for outcome in failed:
        lines.append(f"  {outcome.student}: failed at {outcome.stage}: {outcome.reason}")
        lines += [f"    {outcome.hint}"] if outcome.hint else []
    raise StudentsFailedError("\n".join(lines), hint="Run the same command again: what is ready is kept.")
