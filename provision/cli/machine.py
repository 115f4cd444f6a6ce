"""One student's machine, by the verbs of Vagrant: up, ssh, status, halt, resume, destroy; and why it does not serve."""

from pathlib import Path

import click

from provision.cli.machine_words import deadline_option, jump_option, named, remote_words, verb
from provision.cli.outcomes import print_outcomes, raise_failed
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.outcome import Failed

PROVE_AGAIN = 60.0  # seconds that a machine which once was ready gets to prove it anew


@verb("up", "Give a student a machine that is proved ready.")
@deadline_option(900)
@progress_option
@format_option
def up(words: tuple[str, ...], cloud: str | None, folder: Path | None, deadline: float, form: str, output: str) -> None:
    """Make the student's machine, or wake it, and prove it ready. Run it again at any time: what is right stays."""
    from provision.workflows.lifecycle import Wanted
    from provision.workflows.lifecycle import up as bring

    who = named(words, cloud, folder)
    wanted = Wanted(who.file.folder, deadline)
    print_outcomes([bring(who.outside(), who.order(), who.student, wanted, make_progress(form))], output)


@verb("ssh", "Open a shell on a student's machine, with the key of the handout.", remote=True)
@jump_option
def ssh(words: tuple[str, ...], cloud: str | None, folder: Path | None, jump: str | None) -> None:
    """Open a shell on the machine, or run COMMAND there: its exit code is ours."""
    from provision.guests.ssh import ssh_command
    from provision.process import become

    whose, remote = remote_words(words)
    who = named(whose, cloud, folder)
    access = who.access(who.connect())
    # Becoming ssh, rather than starting it, leaves the terminal, the signals and the exit code to it.
    become(ssh_command(access, *remote, options=[f"ProxyJump={jump}"] if jump else []))


@verb("ssh-config", "Print how ssh reaches a student's machine, for scp, rsync and editors.")
@jump_option
@click.option("--host", "name", metavar="NAME", help="What the machine is called there.  [default: COHORT-STUDENT]")
def ssh_config(
    words: tuple[str, ...], cloud: str | None, folder: Path | None, jump: str | None, name: str | None
) -> None:
    """Print a Host block for ~/.ssh/config."""
    from provision.core.naming import stack_name
    from provision.guests.ssh import ssh_config as block

    who = named(words, cloud, folder)
    name = name or stack_name(who.file.cohort, who.student)
    click.echo(block(who.access(who.connect()), name, jump), nl=False)


@verb("status", "Show how a student's machine stands, proved anew.")
@format_option
def status(words: tuple[str, ...], cloud: str | None, folder: Path | None, output: str) -> None:
    """Show how the machine stands, proved anew if it is awake."""
    from provision.cli.cohort import print_standings
    from provision.workflows.cohort import status as stand
    from provision.workflows.lifecycle import alone

    who = named(words, cloud, folder)
    order = alone(who.order(stands=True), who.student)
    standings = stand(who.connect(), order, folder=who.file.folder, deadline=PROVE_AGAIN)
    print_standings([each for each in standings if each.student == who.student], output)


@verb("halt", "Put a student's machine to sleep.")
@click.option("--shelve", is_flag=True, help="Free its compute node, too. Waking up takes longer, and needs room.")
@deadline_option(300)
@progress_option
@format_option
def halt(
    words: tuple[str, ...],
    cloud: str | None,
    folder: Path | None,
    shelve: bool,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Put the machine to sleep. What is on it, what runs there and its address stay.

    A shelved one boots again when it is woken.
    """
    from provision.workflows.power import suspend

    who = named(words, cloud, folder)
    ended = suspend(
        who.connect(),
        who.order(stands=True),
        shelve=shelve,
        deadline=deadline,
        progress=make_progress(form),
        student=who.student,
    )
    rows = [{"student": each.student, "state": "failed" if isinstance(each, Failed) else each.state} for each in ended]
    print_rows(rows, output, columns=("student", "state"))
    raise_failed([each for each in ended if isinstance(each, Failed)], len(ended), "do not sleep")


@verb("resume", "Wake a student's machine, proved ready.")
@deadline_option(900)
@progress_option
@format_option
def resume(
    words: tuple[str, ...], cloud: str | None, folder: Path | None, deadline: float, form: str, output: str
) -> None:
    """Wake the machine, however it sleeps, and its network's gateway; prove it ready again."""
    from provision.workflows.power import resume as wake

    who = named(words, cloud, folder)
    ended = wake(
        who.connect(),
        who.order(stands=True),
        folder=who.file.folder,
        deadline=deadline,
        progress=make_progress(form),
        student=who.student,
    )
    print_outcomes([each for each in ended if each.student == who.student] or ended, output)


@verb("destroy", "Delete a student's machine and all that is on it.")
@click.option("--yes", is_flag=True, help="Do not ask for the student's id.")
@click.option("--before-end", is_flag=True, help="Even though cohort.toml's end date is still to come.")
@deadline_option(900)
@progress_option
def destroy(
    words: tuple[str, ...],
    cloud: str | None,
    folder: Path | None,
    yes: bool,
    before_end: bool,
    deadline: float,
    form: str,
) -> None:
    """Delete the machine with its disk, network and address. Shows what that is, and asks for the student's id.

    Its snapshots and the handout stay: provision up makes it anew, with the same password.
    """
    from datetime import date

    from provision.errors import NotFoundError
    from provision.workflows.ending import check_ended
    from provision.workflows.lifecycle import destroy as end
    from provision.workflows.lifecycle import find_stacks

    who = named(words, cloud, folder)
    if not before_end:
        check_ended(who.file, date.today())
    connection, order = who.connect(), who.order(stands=True)
    stacks = find_stacks(connection, order, who.student)
    if not stacks:
        raise NotFoundError(f"Student {who.student!r} has no machine in cohort {order.cohort}: nothing was deleted.")
    click.echo(f"The machine of {who.student} is deleted, with its disk, network and address:", err=True)
    for stack in stacks:
        click.echo(f"  {stack.name}  {stack.status}  made {stack.created}", err=True)
    if not yes:
        ask_for(who.student, "student's id", "nothing was deleted")
    end(connection, order, who.student, deadline=deadline, progress=make_progress(form))
    click.echo(f"The machine of {who.student} is deleted. The handout is kept, and so are snapshots.")


def ask_for(word: str, what: str, otherwise: str) -> None:
    """Have a word typed, which nobody does by mistake. Raises InvalidInputError for any other."""
    from provision.errors import InvalidInputError

    typed = click.prompt(f"Type the {what} ({word}) to go on", err=True)
    if typed.strip() != word:
        raise InvalidInputError(f"{typed.strip()!r} is not {word}: {otherwise}.")


@verb("diagnose", "Say why a student's machine does not serve: the first cause.")
@progress_option
@format_option
def diagnose(words: tuple[str, ...], cloud: str | None, folder: Path | None, form: str, output: str) -> None:
    """Say why the machine does not serve, what follows from that, and what to do.

    Asks the cloud, looks from outside as a browser does, and asks the machine itself where it can be asked. Changes
    nothing. Exit code 4 if the machine is not well.
    """
    from provision.errors import StudentsFailedError
    from provision.workflows.diagnosing import examine

    who = named(words, cloud, folder)
    found, facts = examine(who.connect(), who.order(stands=True), who.student, who.file.folder, make_progress(form))
    rows = [{"cause": each.kind, "what": each.says, "do": each.do} for each in found.causes]
    if output != "table":
        print_rows(rows, output, columns=("cause", "what", "do"))
    elif not rows:
        click.echo(f"The machine of {who.student} is well: it serves" + (", inside too." if facts.inside else "."))
    for place, row in enumerate(rows if output == "table" else ()):
        click.echo(f"{'Also' if place or found.well else 'First cause'}: {row['what']}")
        click.echo(f"  {row['do']}")
    if not found.well:
        raise StudentsFailedError(f"The machine of {who.student} is not well: {found.causes[0].kind}.")
