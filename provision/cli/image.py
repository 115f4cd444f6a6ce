"""`provision image`: look into disks, convert and send them; a course's image built, verified and published."""

import click

from provision.cli.build import build
from provision.cli.convert import convert, shrink
from provision.cli.inspect import inspect
from provision.cli.publish import publish
from provision.cli.published import PUBLISHED
from provision.cli.upload import upload
from provision.cli.verify import verify


@click.group()
def image() -> None:
    """Look into disks, convert, shrink and send them; build a course's image, verify and publish it."""


for command in (convert, inspect, shrink, upload, build, verify, publish, *PUBLISHED):
    image.add_command(command)
