"""`provision image convert` and `provision image shrink`: a disk from any source to a file."""

from pathlib import Path

import click
from click.core import ParameterSource

from provision.cli.progress import make_progress, progress_option

FORMS = ("raw", "qcow2", "vdi", "vmdk")
PACKINGS = ("zlib", "zstd", "none")

_file = click.Path(path_type=Path)
_source = click.argument("source", type=_file)
_target = click.argument("target", type=_file)
_format = click.option(
    "--format", "disk_format", type=click.Choice(["raw", "qcow2"]), default="qcow2", show_default=True
)
_from = click.option("--from", "source_form", type=click.Choice(FORMS), help="Take SOURCE for that.")
_sum = click.option("--sha256", "summed", is_flag=True, help="Print the SHA-256 of TARGET, as sha256sum does.")
_headroom = click.option(
    "--headroom", type=click.IntRange(min=0), default=512, show_default=True, metavar="MIB", help="Free on the disk."
)
_compress = click.option(
    "--compress/--no-compress", default=True, show_default=True, help="Whether the clusters of a qcow2 are packed."
)
_reencode = click.option(
    "--reencode",
    type=click.Choice(PACKINGS),
    help="Pack a qcow2 anew like that. Otherwise a streamOptimized VMDK is wrapped as it is, all else packed by zstd.",
)
_verify = click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Inflate what is wrapped, to see that it is sound."
)


@click.command(short_help="Write the disk of any source as raw or qcow2.")
@_source
@_target
@_format
@_compress
@_reencode
@click.option("--shrink", "shrinks", is_flag=True, help="Make the disk as small as its data and the headroom.")
@_headroom
@_sum
@_verify
@_from
@progress_option
@click.pass_context
def convert(
    context: click.Context,
    source: Path,
    target: Path,
    disk_format: str,
    compress: bool,
    reencode: str | None,
    shrinks: bool,
    headroom: int,
    summed: bool,
    verify: bool,
    source_form: str | None,
    form: str,
) -> None:
    """Convert the disk in SOURCE (.box, .ova, .vmdk, .vdi, .qcow2, raw) to TARGET.

    Only data are read and written, whatever the size of the disk. TARGET has its name only once it is complete.
    """
    _refuse_senseless(context, shrinks=shrinks)
    packing = reencode or (None if compress else "none")
    _run(source, target, disk_format, packing, headroom if shrinks else None, summed, verify, source_form, form)


@click.command(short_help="Write a disk as small as its data allow.")
@_source
@_target
@_format
@_compress
@_reencode
@_headroom
@_sum
@_from
@progress_option
@click.pass_context
def shrink(
    context: click.Context,
    source: Path,
    target: Path,
    disk_format: str,
    compress: bool,
    reencode: str | None,
    headroom: int,
    summed: bool,
    source_form: str | None,
    form: str,
) -> None:
    """Write the disk in SOURCE to TARGET, as small as its data and the headroom allow. SOURCE is not changed.

    ext4 on a partition or in LVM; swap behind it is moved. Identifiers, boot loader and files stay as they are.
    """
    _refuse_senseless(context, shrinks=True)
    packing = reencode or (None if compress else "none")
    _run(source, target, disk_format, packing, headroom, summed, True, source_form, form)


def _refuse_senseless(context: click.Context, *, shrinks: bool) -> None:
    """Refuse an option that others leave nothing to do for: who gives it expects something else than what is done."""
    given = {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    raw = context.params["disk_format"] == "raw"
    unwrapped = raw or shrinks or "reencode" in given or not context.params["compress"]
    wrong = {
        "--reencode and --[no-]compress say how a qcow2 is packed, and --format raw makes none.": raw
        and given & {"reencode", "compress"},
        "--reencode and --[no-]compress both say how a qcow2 is packed: give one of them.": given
        >= {"reencode", "compress"},
        "--headroom says what --shrink leaves free, and --shrink is not given.": "headroom" in given and not shrinks,
        "--[no-]verify is about what is wrapped, and nothing is with --format raw, --shrink, --reencode, "
        "--no-compress.": "verify" in given and unwrapped,
    }
    for reason, true in wrong.items():
        if true:
            raise click.UsageError(reason, context)


def _run(
    source: Path,
    target: Path,
    disk_format: str,
    packing: str | None,
    headroom: int | None,
    summed: bool,
    verify: bool,
    source_form: str | None,
    form: str,
) -> None:
    from provision.workflows.convert import PACKINGS as KNOWN
    from provision.workflows.convert import Wish, convert_image, sum_of

    progress = make_progress(form)
    wish = Wish(disk_format, KNOWN[packing] if packing else None, None if headroom is None else headroom << 20, verify)
    convert_image(source, target, wish, progress, form=source_form)
    if summed:
        click.echo(f"{sum_of(target, progress)}  {target}")
