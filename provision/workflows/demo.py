"""The whole story on one machine: a cloud, a box, its image, and two students' machines on it."""

from dataclasses import dataclass
from pathlib import Path

from provision.core.outcome import Outcome
from provision.lab.release import DEFAULT
from provision.progress import Progress
from provision.workflows import cohort, lab
from provision.workflows.courses import read_order
from provision.workflows.handouts import default_folder
from provision.workflows.image import BOX_PROGRAMS, FREE, Wish, build_image, check_computer
from provision.workflows.publish import Terms, publish

COURSE, PRESENTATION, CLOUD = "demo", "26J", "lab"
DEADLINE = 1200.0  # seconds; two emulated guests that boot side by side on two cores need minutes


@dataclass(frozen=True)
class Shown:
    """How the demonstration ended: one outcome a student, and where their passwords are."""

    outcomes: tuple[Outcome, ...]
    folder: Path


def run_demo(roster: Path, progress: Progress, confirm: lab.Confirm) -> Shown:
    """Bring up the lab, build and publish the demo course's image, launch its cohort as an ordinary member."""
    from provision.cloud.connection import connect

    order = read_order(COURSE, PRESENTATION, roster)
    check_computer(BOX_PROGRAMS, room=FREE)
    lab.up(DEFAULT, progress, confirm)
    build_image(COURSE, progress, Wish(verify=False))
    connection = connect(CLOUD)
    # Its proof is that of the machines that it becomes, which follow at once.
    publish(connection, COURSE, PRESENTATION, Terms(force=True), progress)
    folder = default_folder(order.cohort)
    outcomes = cohort.launch(
        connection, order, image=None, flavor=None, network=None, folder=folder, deadline=DEADLINE, progress=progress
    )
    return Shown(outcomes, folder)
