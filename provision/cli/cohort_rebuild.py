"""`provision cohort rebuild`: another image for machines that stand, with students' work kept."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.options import cohort_cloud_option, handout_option, image_option
from provision.cli.outcomes import print_outcomes
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.core.waves import Move, Stay, waves

if TYPE_CHECKING:
    from provision.workflows.rebuild import Carry

COLUMNS = ("student", "wave", "what", "why")


@click.command(short_help="Move the cohort to another image in waves; students' work is kept.")
@click.argument("cohort", metavar="COHORT")
@cohort_cloud_option
@handout_option
@image_option
@click.option("--wave", "size", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="How many machines at a time. The first wave is one machine.")  # fmt: skip
@click.option("--max-failures", "most", type=click.FloatRange(0, 100), default=10, show_default=True, metavar="PERCENT",
              help="Halt after a wave of which more than this failed.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--deadline", type=click.FloatRange(min=1), default=1800, show_default=True, metavar="SECONDS",
              help="How long a wave's stacks may take, and then each machine to prove itself ready.")  # fmt: skip
@progress_option
@format_option
def rebuild(
    cohort: str,
    cloud: str | None,
    folder: Path | None,
    image: str | None,
    size: int,
    most: float,
    dry_run: bool,
    deadline: float,
    form: str,
    output: str,
) -> None:
    """Move the machines of COHORT to the presentation's current build, or to IMAGE.

    Students keep password, address and work: what is in the course's folders is fetched, the machine gets the image,
    is proved ready, and gets the work back. What is elsewhere on the disk is lost. A machine whose work cannot be
    fetched is not touched. Run it again at any time: it goes on where it stopped.
    """
    from provision.cloud.connection import connect
    from provision.workflows.orders import read_cohort, read_order
    from provision.workflows.rebuild import Terms, find_moves
    from provision.workflows.rebuild import rebuild as move

    file = read_cohort(cohort, folder)
    order, wanted = read_order(file), image or file.said.machine.image
    connection = connect(cloud or file.said.cloud.name)
    if dry_run:
        found = find_moves(connection, order, wanted, file.folder)
        print_rows(_rows(found.moves, size), output, columns=COLUMNS)
        click.echo(f"{order.cohort}: to image {found.image.name} ({found.image.id})", err=True)
        return
    terms = Terms(file.folder, _carry(file.folder), size, most, deadline)
    print_outcomes(move(connection, order, wanted, terms, make_progress(form)), output)


def _rows(moves: tuple[Move | Stay, ...], size: int) -> list[dict[str, object]]:
    planned = waves([each for each in moves if isinstance(each, Move)], size)
    numbers = {move.student: number for number, wave in enumerate(planned, 1) for move in wave}
    return [
        {"student": each.student, "wave": numbers[each.student], "what": "move" if each.back_up else "give work back"}
        if isinstance(each, Move)
        else {"student": each.student, "wave": "", "what": "cannot" if each.wrong else "leave", "why": each.why}
        for each in moves
    ]


def _carry(folder: Path) -> "Carry":
    """Work goes by the machines' caretaker, whose key is beside the handouts."""
    from provision.guests.caretaker import backup, door_to, restore
    from provision.workflows.rebuild import Carry

    key = (folder / "caretaker").absolute()
    return Carry(
        lambda access, stream: backup(door_to(access, key), stream),
        lambda access, stream: restore(door_to(access, key), stream),
    )
