"""`provision ssh`: a shell on a student's machine, with the key of the handout."""

from pathlib import Path

import click

from provision.cli.options import cloud_option, handout_option


@click.command()
@click.argument("course")
@click.argument("presentation")
@click.argument("student")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@cloud_option
@handout_option
def ssh(
    course: str, presentation: str, student: str, command: tuple[str, ...], cloud: str | None, folder: Path | None
) -> None:
    """Open a shell on a student's machine, or run COMMAND there (after --): its exit code is ours."""
    from provision.cloud.connection import connect
    from provision.guests.ssh import ssh_command
    from provision.process import become
    from provision.workflows.courses import named_cohort
    from provision.workflows.handouts import default_folder
    from provision.workflows.machine import find_machine

    cohort = named_cohort(course, presentation)
    access = find_machine(connect(cloud), cohort, student, folder or default_folder(cohort))
    # Becoming ssh, rather than starting it, leaves the terminal, the signals and the exit code to it.
    become(ssh_command(access, *command))
