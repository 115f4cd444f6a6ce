"""`provision ssh`: a shell on a student's machine, with the key of the handout."""

from pathlib import Path

import click

from provision.cli.options import cohort_cloud_option, handout_option


@click.command()
@click.argument("cohort")
@click.argument("student")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@cohort_cloud_option
@handout_option
def ssh(cohort: str, student: str, command: tuple[str, ...], cloud: str | None, folder: Path | None) -> None:
    """Open a shell on the machine of STUDENT of COHORT (its cohort.toml or that one's folder).

    Or run COMMAND there (after --): its exit code is ours.
    """
    from provision.cloud.connection import connect
    from provision.guests.ssh import ssh_command
    from provision.process import become
    from provision.workflows.labels import read_labels
    from provision.workflows.machine import find_machine
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.tenancy import home_of

    file = read_cohort(cohort, folder)
    labels = read_labels(file.said.cohort.privacy, file.folder, [student])
    connection = connect(cloud or file.said.cloud.name)
    if file.said.cloud.tenancy == "project per student":
        connection = home_of(connection, read_order(file), student)
    access = find_machine(connection, file.cohort, student, file.folder, labels)
    # Becoming ssh, rather than starting it, leaves the terminal, the signals and the exit code to it.
    become(ssh_command(access, *command))
