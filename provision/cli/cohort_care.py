"""What is done with a class between its launch and its end: `provision cohort suspend`, `resume`, `repair` and others."""

from datetime import datetime

import click


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


CARE = (extend,)
