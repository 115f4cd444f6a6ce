"""`provision image verify`: prove an image from outside, before anyone gets it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.output import print_rows
from provision.cli.progress import make_progress, progress_option

if TYPE_CHECKING:
    from provision.core.report import Report

COLUMNS = ("machine", "proof", "seconds", "verdict")
_path = click.Path(path_type=Path)


@click.command(short_help="Boot an image and prove it from outside.")
@click.argument("image")
@click.option("--course", help="The course (name or course.toml) of an IMAGE that is given as a file.")
@click.option("--junit", "junit_file", type=_path, help="Write the report as JUnit's XML to this file, too.")
@click.option("--keep", "consoles", type=_path, help="Keep the machines' console logs in this folder.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=900,
    show_default=True,
    help="Seconds that a boot may take.",
)
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@progress_option
@click.pass_context
def verify(
    context: click.Context,
    image: str,
    course: str | None,
    junit_file: Path | None,
    consoles: Path | None,
    timeout: float,
    output: str,
    form: str,
) -> None:
    """Boot IMAGE in QEMU, without a student and with one, and prove from outside that it works and is safe.

    IMAGE is a build's id, a course's name (its newest build is meant), or an image file with its --course. It is not
    changed. Needs root. The report also goes beside the build's manifest (verify.xml) and into it. Exit code 1: a proof
    failed, and the build will not be published.
    """
    from provision.workflows.verify import verify_image

    report = verify_image(
        image,
        make_progress(form),
        course=course,
        junit_file=junit_file,
        consoles=consoles,
        patience=timeout,
    )
    if output == "json":
        click.echo(json.dumps({"passed": report.passed, **asdict(report)}, indent=2))
    else:
        _show(report)
    context.exit(0 if report.passed else 1)


def _show(report: "Report") -> None:
    rows = [
        {
            "machine": proof.group,
            "proof": proof.name,
            "seconds": f"{proof.seconds:.1f}",
            "verdict": "failed" if proof.failure else "passed",
        }
        for proof in report.proofs
    ]
    print_rows(rows, "table", columns=COLUMNS)
    for proof in report.proofs:
        if proof.failure and proof.tried:
            click.echo(f"\n{proof.group}, {proof.name}: {proof.failure}", err=True)
            click.echo(f"Try: {proof.hint}", err=True)
