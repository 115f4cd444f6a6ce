"""The whole story on one machine: a cloud, a box, its image, and two students' machines on it."""

from dataclasses import dataclass
from pathlib import Path

from provision.core.naming import cohort_name
from provision.core.outcome import Outcome
from provision.lab.network import NETWORK
from provision.lab.release import DEFAULT
from provision.paths import data_path
from provision.progress import Progress
from provision.workflows import cohort, lab
from provision.workflows.drafts import draft_cohort, write_new
from provision.workflows.image import BOX_PROGRAMS, FREE, Wish, build_image, check_computer
from provision.workflows.orders import CohortFile, read_cohort, read_order
from provision.workflows.publish import Terms, publish

COURSE, PRESENTATION, CLOUD = "demo", "26J", "lab"
COHORT = Path(cohort_name(COURSE, PRESENTATION))  # the folder of its cohort.toml, its roster and its handouts
DEADLINE = 1200.0  # seconds; two emulated guests that boot side by side on two cores need minutes


@dataclass(frozen=True)
class Shown:
    """How the demonstration ended: one outcome a student, and where their passwords are."""

    outcomes: tuple[Outcome, ...]
    folder: Path


def run_demo(progress: Progress, confirm: lab.Confirm) -> Shown:
    """Bring up the lab, build and publish the demo course's image, launch its cohort as an ordinary member."""
    from provision.cloud.connection import connect

    check_computer(BOX_PROGRAMS, room=FREE)
    file = demo_cohort()
    order = read_order(file)
    lab.up(DEFAULT, progress, confirm)
    build_image(COURSE, progress, Wish(verify=False))
    connection = connect(CLOUD)
    # Its proof is that of the machines that it becomes, which follow at once.
    publish(connection, COURSE, PRESENTATION, Terms(force=True), progress)
    outcomes = cohort.launch(connection, order, folder=file.folder, deadline=DEADLINE, progress=progress)
    return Shown(outcomes, file.folder)


def demo_cohort() -> CohortFile:
    """The demonstration's cohort.toml and roster, written here unless they are: they are the person's from then on."""
    filled = {
        "cohort": {"course": COURSE, "presentation": PRESENTATION},
        "cloud": {"name": CLOUD},
        "access": {"ssh": str(NETWORK)},
    }
    files = {"cohort.toml": draft_cohort(filled), "roster.csv": data_path("images/demo/roster.csv").read_text()}
    for name, text in files.items():
        if not (COHORT / name).exists():
            write_new(COHORT / name, text)
    return read_cohort(str(COHORT))
