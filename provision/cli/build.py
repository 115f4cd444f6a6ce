"""`provision image build`: a course's image, from its box to a proved build."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option

COLUMNS = ("course", "build", "virtual_gib", "size_mib", "min_disk", "min_ram", "verified", "image")
PLAN_COLUMNS = ("step", "runs", "why")
STEPS = ("convert", "bake", "shrink", "verify")  # core.steps' own, which is loaded when it is needed

_file = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Make the image of a course.")
@click.argument("course")
@click.option("--box", type=_file, help="Build from this box (.box, .ova, .vmdk ...) instead of the course's own.")
@click.option(
    "--bake-in",
    type=click.Choice(["tree", "machine"]),
    help="Run the roles on the mounted disk (fast, needs root), or in a QEMU machine. By default: what is possible.",
)
@click.option("--again", "start", type=click.Choice(STEPS), help="Do that step and those behind it again.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Whether the image is proved at the end.")
@click.option("--dry-run", is_flag=True, help="Show which steps would run and why; change nothing.")
@format_option
@progress_option
def build(
    course: str,
    box: Path | None,
    bake_in: str | None,
    start: str | None,
    verify: bool,
    dry_run: bool,
    output: str,
    form: str,
) -> None:
    """Build the image of COURSE (its name, or the path of its course.toml), and prove it.

    The steps are convert, bake, shrink and verify. A run goes on after the last one that is done, unless what went
    into it has changed: the box, course.toml, the roles.
    """
    from provision.workflows.image import Wish, build_image, plan_build

    progress, wish = make_progress(form), Wish(box, bake_in, start, verify)
    if dry_run:
        rows = [asdict(decision) for decision in plan_build(course, progress, wish)]
        for row in rows:
            row["runs"] = "yes" if row["runs"] else "no"
        print_rows(rows, output, columns=PLAN_COLUMNS)
        return
    made = build_image(course, progress, wish)
    facts: Mapping[str, object] = asdict(made.manifest)
    row = {
        **facts,
        "virtual_gib": f"{made.manifest.virtual_size / 2**30:.2f}",
        "size_mib": made.manifest.size >> 20,
        "verified": "yes" if (made.manifest.verified or {}).get("passed") else "no",
        "image": made.image,
    }
    print_rows([row], output, columns=COLUMNS)
