"""`provision image upload`: any disk that we read, straight into a cloud's image service."""

from pathlib import Path

import click

from provision.cli.convert import FORMS, PACKINGS
from provision.cli.options import cloud_option
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option

COLUMNS = ("name", "id", "sent", "form", "stored_as", "uploaded")
MORE = ("method", "reason", "min_disk", "sha256")  # what no table has room for
OURS = {"name", "disk_format", "container_format", "min_disk", "min_ram"}  # said by other options, or not to be chosen


def _properties(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for name, equals, _ in pairs:
        if not name or not equals or name in OURS:
            raise click.BadParameter(f"{name!r} is no property that can be set so; write K=V.")
    return {name: value for name, _, value in pairs}


@click.command(short_help="Send the disk of any source to a cloud.")
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("name")
@cloud_option
@click.option(
    "--disk-format",
    type=click.Choice(["auto", "raw", "qcow2"]),
    default="auto",
    show_default=True,
    help="What to send; auto is what the cloud's store is best at.",
)
@click.option(
    "--reencode",
    type=click.Choice(PACKINGS),
    help="Pack a qcow2 anew like that. Otherwise a qcow2 goes as it is, a streamOptimized VMDK wrapped.",
)
@click.option("--from", "source_form", type=click.Choice(FORMS), help="What SOURCE is, if its content is silent.")
@click.option(
    "--property", "properties", metavar="K=V", multiple=True, callback=_properties, help="A property of the image."
)
@click.option("--min-disk", type=click.IntRange(min=0), default=0, help="In GiB; at least the disk's own size.")
@click.option("--min-ram", type=click.IntRange(min=0), default=0, help="In MiB.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent and why, and send nothing.")
@format_option
@progress_option
def upload(
    source: Path,
    name: str,
    cloud: str | None,
    disk_format: str,
    reencode: str | None,
    source_form: str | None,
    properties: dict[str, str],
    min_disk: int,
    min_ram: int,
    dry_run: bool,
    output: str,
    form: str,
) -> None:
    """Upload the disk in SOURCE (.box, .ova, .vmdk, .vdi, .qcow2, raw) as the image NAME.

    Nothing is written to this computer's disk. The image gets its name once the cloud's sum of it is right. What is
    there already is not sent again.
    """
    if disk_format == "raw" and reencode:
        raise click.UsageError("--reencode says how a qcow2 is packed, and --disk-format raw sends none.")
    from dataclasses import asdict

    from provision.cloud.connection import connect
    from provision.workflows import upload as stories
    from provision.workflows.convert import PACKINGS as KNOWN

    wishes = stories.Wishes(disk_format, KNOWN[reencode] if reencode else None, properties, min_disk, min_ram)
    progress = make_progress(form)
    done = stories.upload(connect(cloud), source, name, wishes, progress, form=source_form, dry_run=dry_run)
    print_rows(
        [{**asdict(done), "method": done.method.value}],
        output,
        columns=COLUMNS if output == "table" else COLUMNS + MORE,
    )
