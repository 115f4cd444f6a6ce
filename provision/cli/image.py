"""`provision image`: a course's image, built and published."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from provision.cli.convert import convert, shrink
from provision.cli.inspect import inspect
from provision.cli.options import cloud_option
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.cli.upload import upload
from provision.cli.verify import verify

BUILD_COLUMNS = ("course", "build", "virtual_gib", "size_mib", "min_disk", "min_ram", "image")
PUBLISH_COLUMNS = ("name", "id", "build", "size_mib", "published")

_file = click.Path(dir_okay=False, path_type=Path)


@click.group()
def image() -> None:
    """Look into disks, convert, shrink and send them; build a course's image and publish it."""


@image.command(short_help="Make the image of a course.")
@click.argument("course")
@click.option("--box", type=_file, help="Build from this box (.box, .ova, .vmdk ...) instead of the course's own.")
@format_option
@progress_option
def build(course: str, box: Path | None, output: str, form: str) -> None:
    """Build the image of COURSE (its name, or the path of its course.toml).

    Needs root. A build whose box, course.toml and roles have not changed is not made again.
    """
    from provision.workflows.image import build_image

    made = build_image(course, make_progress(form), box=box)
    facts: Mapping[str, object] = asdict(made.manifest)
    row = {
        **facts,
        "virtual_gib": f"{made.manifest.virtual_size / 2**30:.2f}",
        "size_mib": made.manifest.size >> 20,
        "image": made.image,
    }
    print_rows([row], output, columns=BUILD_COLUMNS)


@image.command(short_help="Upload the newest build of a course.")
@click.argument("course")
@click.argument("presentation")
@cloud_option
@format_option
@progress_option
def publish(course: str, presentation: str, cloud: str | None, output: str, form: str) -> None:
    """Upload the newest build of COURSE as the image of PRESENTATION (such as 26J).

    Publishing what is there already does nothing.
    """
    from provision.cloud.connection import connect
    from provision.core.naming import image_name
    from provision.workflows import image as stories

    made, built, there = stories.publish(connect(cloud), course, presentation, make_progress(form))
    row = {
        "name": image_name(built.manifest.course, presentation),
        "id": made,
        "build": built.manifest.build,
        "size_mib": built.manifest.size >> 20,
        "published": "before" if there else "now",
    }
    print_rows([row], output, columns=PUBLISH_COLUMNS)


for command in (convert, inspect, shrink, upload, verify):
    image.add_command(command)
