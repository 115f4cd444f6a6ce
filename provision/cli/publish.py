"""`provision image publish`: a proved build becomes a presentation's image."""

import re

import click

from provision.cli.options import cloud_option
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option

COLUMNS = ("name", "id", "build", "size_mib", "current", "published")
_PROJECT = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _projects(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [project for project in given if not _PROJECT.fullmatch(project)]
    if wrong:  # Glance takes any word, and shares with nobody
        raise click.BadParameter(
            f"{wrong[0]!r} is no project's id. Its members find it: openstack token issue -f value -c project_id"
        )
    return given


member_option = click.option(
    "--member",
    "members",
    metavar="PROJECT",
    multiple=True,
    callback=_projects,
    help="Share it with this project (its id).",
)


@click.command(short_help="Upload a proved build as a presentation's current image.")
@click.argument("course")
@click.argument("presentation")
@cloud_option
@click.option("--build", metavar="ID", help="This build.  [default: the newest]")
@click.option(
    "--visibility",
    type=click.Choice(["private", "shared", "community"]),
    help="Who else sees it.  [default: as it is; private at first]",
)
@member_option
@click.option("--force", is_flag=True, help="Even if it did not pass its verification; its image will say so.")
@click.option("--no-promote", is_flag=True, help="Leave the current build the current one.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@format_option
@progress_option
def publish(
    course: str,
    presentation: str,
    cloud: str | None,
    build: str | None,
    visibility: str | None,
    members: tuple[str, ...],
    force: bool,
    no_promote: bool,
    dry_run: bool,
    output: str,
    form: str,
) -> None:
    """Upload a build of COURSE as the image of PRESENTATION (such as 26J), and make it the current one.

    What is there already is not sent again. The build that was current stays: provision image rollback goes back to it.
    """
    from provision.cloud.connection import connect
    from provision.workflows import publish as stories

    if members and visibility not in (None, "shared"):
        raise click.UsageError(f"--member shares the image; that does not go with --visibility {visibility}.")
    terms = stories.Terms(build, visibility, members, force, not no_promote, dry_run)
    made = stories.publish(connect(cloud), course, presentation, terms, make_progress(form))
    row = {
        "name": made.name,
        "id": made.id,
        "build": made.build.manifest.build,
        "size_mib": made.build.manifest.size >> 20,
        "current": made.current,
        "published": made.uploaded,
    }
    print_rows([row], output, columns=COLUMNS)
