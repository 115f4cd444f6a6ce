"""`provision image`: a course's image, built and published."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from provision.cli.convert import convert, shrink
from provision.cli.inspect import inspect
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.cli.publish import publish
from provision.cli.published import PUBLISHED
from provision.cli.upload import upload

BUILD_COLUMNS = ("course", "build", "virtual_gib", "size_mib", "min_disk", "min_ram", "image")

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


for command in (convert, inspect, shrink, upload, publish, *PUBLISHED):
    image.add_command(command)
