"""`provision image list`, `show`, `diff`, `promote`, `rollback`, `share`, `accept`, `prune`: builds on a cloud."""

from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import click

from provision.cli.options import cloud_option
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.cli.publish import member_option

if TYPE_CHECKING:
    from provision.core.builds import Published
    from provision.workflows.published import Pruning

COLUMNS = ("name", "build", "current", "verified", "size_mib", "visibility")  # 80 characters of a table
# What no table has room for.
MORE = ("id", "course", "presentation", "number", "created", "promoted", "forced", "size", "min_disk",
        "min_ram", "owner", "protected", "toolkit", "sha256",
        "source_sha256", "contents", "contents_sha256")  # fmt: skip
IMAGE_HELP = "IMAGE is an image's or a build's id, tm351-26J:3, or tm351-26J for its current build."


def _row(build: "Published", current: bool) -> dict[str, Any]:
    return {
        **asdict(build),
        "name": build.name,
        "current": current,
        "verified": build.verified or ("forced" if build.forced else "no"),
        "size_mib": build.size >> 20,
    }


def _print_builds(rows: list[dict[str, Any]], output: str) -> None:
    """Builds in a table say of the current one `yes`, and nothing of the others."""
    if output == "table":
        rows = [{**row, "current": "yes" if row["current"] else ""} for row in rows]
    print_rows(rows, output, columns=COLUMNS if output == "table" else COLUMNS + MORE)


@click.command("list", short_help="The builds that a cloud has.")
@click.argument("course", required=False)
@click.argument("presentation", required=False)
@cloud_option
@format_option
def list_command(course: str | None, presentation: str | None, cloud: str | None, output: str) -> None:
    """List the published builds, of COURSE and PRESENTATION if they are given. One of each presentation is current."""
    from provision.cloud.connection import connect
    from provision.workflows.published import list_builds

    found = list_builds(connect(cloud), course, presentation)
    _print_builds([_row(build, current) for build, current in found], output)
    if not found and output == "table":
        click.echo("There is no such build on this cloud. To publish one: provision image publish.", err=True)


@click.command(short_help="All that a cloud knows of a build.", epilog=IMAGE_HELP)
@click.argument("image")
@cloud_option
@format_option
def show(image: str, cloud: str | None, output: str) -> None:
    """Show all that is known of the published build IMAGE."""
    from provision.cloud.connection import connect
    from provision.workflows.published import show_build

    build, current = show_build(connect(cloud), image)
    row = _row(build, current)
    if output == "table":
        print_rows([{"field": name, "value": row[name]} for name in COLUMNS + MORE], output, columns=("field", "value"))
    else:
        print_rows([row], output, columns=COLUMNS + MORE)


@click.command(short_help="What differs between two builds.", epilog=IMAGE_HELP)
@click.argument("before")
@click.argument("after")
@cloud_option
@format_option
def diff(before: str, after: str, cloud: str | None, output: str) -> None:
    """Show what differs from BEFORE to AFTER: packages, pip packages, services, open ports, course files, size.

    Each is an IMAGE, or a build on this computer: its id, or a course's name for its newest one.
    """
    from provision.cloud.connection import connect
    from provision.workflows.contents import compare

    changes = compare(cache(partial(connect, cloud)), before, after)
    rows = [{**asdict(change), "change": change.change} for change in changes]
    if output == "table":
        rows = [{**row, "before": _short(row["before"]), "after": _short(row["after"])} for row in rows]
    print_rows(rows, output, columns=("kind", "name", "change", "before", "after"))
    if not rows:
        click.echo("Nothing differs.", err=True)


def _short(value: object) -> object:
    """A sum is told by its beginning."""
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 and value.isalnum() else value


@click.command(short_help="Make a build the current one.", epilog=IMAGE_HELP)
@click.argument("image")
@cloud_option
@progress_option
def promote(image: str, cloud: str | None, form: str) -> None:
    """Make IMAGE the build that its presentation's machines are made from. Machines that exist stay as they are."""
    from provision.cloud.connection import connect
    from provision.workflows.published import promote as story

    build = story(connect(cloud), image, make_progress(form))
    click.echo(f"{build.name} (build {build.build}) is current.")


@click.command(short_help="Go back to the build that was current before.")
@click.argument("course")
@click.argument("presentation")
@cloud_option
def rollback(course: str, presentation: str, cloud: str | None) -> None:
    """Take the current build of COURSE and PRESENTATION back; the one that was current before it is so again.

    Machines that exist stay as they are.
    """
    from provision.cloud.connection import connect
    from provision.workflows.published import rollback as story

    now, before = story(connect(cloud), course, presentation)
    click.echo(f"{now.name} (build {now.build}) is current. {before.name} is not deleted: provision image promote.")


@click.command(short_help="Offer a build to other projects.", epilog=IMAGE_HELP)
@click.argument("image")
@member_option
@cloud_option
def share(image: str, members: tuple[str, ...], cloud: str | None) -> None:
    """Offer IMAGE to other projects of the cloud. Each of them has to accept it: provision image accept."""
    from provision.cloud.connection import connect
    from provision.workflows.published import share as story

    if not members:
        raise click.UsageError("Name a project with --member PROJECT.")
    build = story(connect(cloud), image, members)
    click.echo(f"{build.name} is offered to {', '.join(members)}. There: provision image accept {build.id}")


@click.command(short_help="Accept a build that another project shares.", epilog=IMAGE_HELP)
@click.argument("image")
@cloud_option
def accept(image: str, cloud: str | None) -> None:
    """Accept IMAGE, which another project shares with this one, so that cohorts can be launched from it."""
    from provision.cloud.connection import connect
    from provision.workflows.published import accept as story

    build = story(connect(cloud), image)
    click.echo(f"{build.name} ({build.id}) of project {build.owner} is accepted.")


@click.command(short_help="Remove builds that nobody needs.")
@click.argument("course")
@click.argument("presentation", required=False)
@cloud_option
@click.option(
    "--keep", type=click.IntRange(min=0), default=3, show_default=True, metavar="N", help="Keep the newest N."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@format_option
@progress_option
def prune(
    course: str,
    presentation: str | None,
    cloud: str | None,
    keep: int,
    dry_run: bool,
    yes: bool,
    output: str,
    form: str,
) -> None:
    """Remove old builds of COURSE, of PRESENTATION if it is given.

    Of each presentation the current build stays, the previous one, the newest N, and what is in use or protected.
    """
    from provision.cloud.connection import connect
    from provision.workflows import published as stories

    connection = connect(cloud)
    planned = stories.plan_pruning(connection, course, presentation, keep)
    rows = _pruning_rows(planned)
    print_rows(rows, output, columns=("name", "build", "id", "action", "why"))
    removed = sum(row["action"] == "remove" for row in rows)
    if dry_run or not removed:
        click.echo("Nothing is removed." if dry_run else "Nothing to remove.", err=True)
        return
    if not yes:
        click.confirm(f"Remove {removed} for good?", abort=True, err=True)
    stories.prune(connection, course, presentation, keep, planned, make_progress(form))


def _pruning_rows(planned: "Pruning") -> list[dict[str, Any]]:
    builds = [
        {
            "name": verdict.build.name,
            "build": verdict.build.build,
            "id": verdict.build.id,
            "action": "remove" if verdict.remove else "keep",
            "why": verdict.why,
        }
        for verdict in planned.verdicts
    ]
    leftovers = [
        {"name": each.name, "id": each.id, "action": "remove", "why": "an earlier run left it"}
        for each in planned.leftovers
    ]
    return builds + leftovers


PUBLISHED = (list_command, show, diff, promote, rollback, share, accept, prune)
