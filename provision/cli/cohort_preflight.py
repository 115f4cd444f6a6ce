"""`provision cohort preflight`: everything that would keep a launch from working, on one screen."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from provision.cli.options import (
    cohort_cloud_option,
    flavor_option,
    handout_option,
    image_option,
    network_option,
    roster_option,
    stack_limit_option,
)
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.findings import REFUSAL, Finding
from provision.errors import PreflightError


@click.command(short_help="Check everything that a launch needs, with one canary machine.")
@click.argument("cohort", metavar="COHORT")
@roster_option
@image_option
@flavor_option
@network_option
@stack_limit_option
@handout_option
@cohort_cloud_option
@click.option("--no-canary", is_flag=True, help="Make no machine to see whether one works.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="How long the canary's stack may take to be made, and then the machine to prove itself ready.",
)
@progress_option
@format_option
def preflight(
    cohort: str,
    roster: Path | None,
    image: str | None,
    flavor: str | None,
    network: str | None,
    stack_limit: int | None,
    folder: Path | None,
    cloud: str | None,
    no_canary: bool,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Say what would keep a launch from working, what it means, and the command or the request that mends it.

    Tries whether Heat makes stacks for the credential, and makes, proves and removes one machine. No student's machine
    is touched. If anything refuses a launch the exit code is 3.
    """
    from provision.cloud.connection import connect
    from provision.workflows.orders import Choice, read_cohort, read_order
    from provision.workflows.rehearsal import preflight as rehearse

    file = read_cohort(cohort, folder)
    order = read_order(file, roster, Choice(image, flavor, network, stack_limit))
    findings = rehearse(
        connect(cloud or file.said.cloud.name),
        order,
        canary=not no_canary,
        deadline=deadline,
        progress=make_progress(form),
    )
    print_findings(findings, output)
    counts = Counter(finding.severity for finding in findings)
    click.echo(", ".join(f"{count} {severity}" for severity, count in sorted(counts.items())), err=True)
    if counts[REFUSAL]:
        raise PreflightError(f"{counts[REFUSAL]} of {len(findings)} checks refuse a launch.")


def print_findings(findings: Sequence[Finding], output: str) -> None:
    """As a table for people, with what to do below what it means; otherwise each by itself."""
    if output == "table":
        rows = [
            {
                "check": " ".join(filter(None, (each.name.replace("_", " "), each.about))),
                "state": each.severity,
                "what it means, and what to do": "\n".join(filter(None, (each.meaning, each.fix))),
            }
            for each in findings
        ]
        print_rows(rows, output, columns=tuple(rows[0]))
        return
    columns = ("name", "about", "severity", "meaning", "fix")
    print_rows([vars(each) for each in findings], output, columns=columns)
