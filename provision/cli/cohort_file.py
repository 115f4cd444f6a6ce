"""`provision cohort init`, `check` and `schema`: a cohort's file, begun, checked and described."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from provision.cli.output import print_rows

if TYPE_CHECKING:
    from provision.workflows.orders import CohortFile, Order


@click.command(short_help="Begin a cohort: write its cohort.toml.")
@click.argument("course")
@click.argument("presentation")
@click.option("--os-cloud", "cloud", metavar="NAME", help="The cloud, as clouds.yaml names it.")
@click.option("--dry-run", is_flag=True, help="Print it on stdout, and write nothing.")
def init(course: str, presentation: str, cloud: str | None, dry_run: bool) -> None:
    """Write COURSE-PRESENTATION/cohort.toml, with every key explained.

    A file that is there already is never overwritten.
    """
    from provision.workflows.drafts import draft_cohort, new_cohort_file, write_new

    known = {"cohort": {"course": course, "presentation": presentation}, "cloud": {"name": cloud} if cloud else {}}
    text = draft_cohort(known)
    if dry_run:
        click.echo(text, nl=False)
        return
    place = new_cohort_file(course, presentation)
    write_new(place, text)
    click.echo(place)
    click.echo(
        f"Put the roster beside it as roster.csv, look it over, then: provision cohort check {place.parent}", err=True
    )


@click.command(short_help="Check a cohort.toml and its roster, and say what they mean.")
@click.argument("cohort", metavar="[COHORT]", default="cohort.toml")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(cohort: str, output: str) -> None:
    """Check COHORT (the path of its cohort.toml or of its folder; otherwise the one here) and show what it means.

    Every problem is reported at once, with its line. No cloud is asked.
    """
    from provision.workflows.orders import read_cohort, read_order

    file = read_cohort(cohort)
    order = read_order(file)
    if output == "json":
        said = {"file": str(file.place), "name": file.cohort, "students": len(order.students)}
        click.echo(json.dumps({**said, **file.said.model_dump(mode="json")}, indent=2))
    else:
        print_rows(
            [{"what": what, "value": value} for what, value in _meaning(file, order)],
            "table",
            columns=("what", "value"),
        )


@click.command(short_help="Print the JSON Schema of cohort.toml.")
def schema() -> None:
    """Print the JSON Schema of cohort.toml (draft 2020-12), for editors that complete and check it while one types.

    Save it beside cohort.toml as cohort.schema.json, and write as its first line: #:schema ./cohort.schema.json
    """
    from provision.core.cohort import Cohort
    from provision.core.toml_schema import file_schema

    click.echo(json.dumps(file_schema(Cohort), indent=2))


def _meaning(file: "CohortFile", order: "Order") -> Iterator[tuple[str, str]]:
    said, course = file.said, order.course
    yield "file", str(file.place)
    yield "cohort", f"{file.cohort}: {course.title}"
    own = sum(bool(student.ssh_keys) for student in order.students)
    yield "students", f"{len(order.students)} in {said.cohort.roster}, {own or 'none'} with keys of their own"
    yield "from, until", f"{said.cohort.start or 'not stated'}, {said.cohort.end or 'not stated'}"
    yield "cloud", f"{said.cloud.name or 'as OS_CLOUD or OS_* say'}, {said.cloud.tenancy}"
    yield "image", said.machine.image or f"the current build of {file.cohort}"
    machine = course.machine
    needed = f"{machine.vcpus} vCPU, {machine.memory_mb} MiB and {machine.disk_gb} GiB"
    yield "flavor", said.machine.flavor or f"the smallest with {needed} that fits the image"
    network = said.network
    yield "network", f"{network.shape}, behind {network.external_network or 'the external network'}"
    yield "public address", "a floating IP each" if network.floating_ip else "none: through a gateway machine"
    yield "pages for", _who(said.access.web)
    yield "SSH for", _who(said.access.ssh) if said.access.ssh else "nobody"
    yield "pool", "; ".join([f"{said.pool.size or 'no'} machines ahead of need", *said.pool.timetable])
    yield "the cloud learns", "opaque labels" if said.cohort.privacy else "students' ids"
    yield "letters", f"{said.handouts.template}; for help: {said.handouts.help}"
    yield "handouts", str(file.folder)


def _who(cidr: str) -> str:
    return "anyone" if cidr == "0.0.0.0/0" else cidr


FILES = (init, check, schema)
