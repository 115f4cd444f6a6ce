"""What a launch asks of the cloud: a stack for a student, or that one be deleted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.stacks import create_stack, delete_stack
from provision.core.naming import cohort_tag, place_tag, server_name, stack_name, student_tag
from provision.core.outcome import Failed
from provision.core.plan import Stack
from provision.core.roster import Student
from provision.errors import ProvisionError
from provision.guests.credentials import jupyter_hash
from provision.workflows.handouts import Handout, ensure_caretaker, public_key_file
from provision.workflows.machine import Reach
from provision.workflows.orders import Order
from provision.workflows.preflight import Ground
from provision.workflows.run import Answered
from provision.workflows.shared import Seat, network_parameters

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Job:
    """What every machine of a run is made with. `seats` say where each new one goes, if students share networks.

    `check` raises when the run must not go on.
    """

    connection: "Connection"
    order: Order
    ground: Ground
    template: str
    reach: Reach
    seats: Mapping[str, Seat | Failed] = field(default_factory=dict)
    clock: Clock = REAL
    check: Callable[[], None] = lambda: None

    @cached_property
    def students(self) -> dict[str, Student]:
        """The students by id, in the roster's order."""
        return {student.id: student for student in self.order.students}


def create(job: Job, student: Student) -> Answered:
    """Ask for the stack of a student's machine."""
    cohort, handout, label = job.order.cohort, job.reach.handouts[student.id], job.order.labels.label(student.id)
    seat = job.seats.get(student.id)
    place = [place_tag(seat.stack)] if isinstance(seat, Seat) else []
    try:
        create_stack(
            job.connection,
            stack_name(cohort, label),
            job.template,
            stack_parameters(job, student, handout),
            cohort_tag(cohort),
            student_tag(label),
            *place,
        )
    except ProvisionError as exc:
        return Answered(student.id, "create", exc)
    return Answered(student.id, "create")


def stack_parameters(job: Job, student: Student, handout: Handout) -> dict[str, str]:
    """What heat/student.yaml is given for one student: no name, no email, and of secrets only the hash."""
    label = job.order.labels.label(student.id)
    own = public_key_file(job.reach.folder, student.id).read_text()
    keys = dict.fromkeys([*student.ssh_keys, " ".join(own.split()[:2])])
    return {
        "student": label,
        "server_name": server_name(job.order.cohort, label),
        "tag": cohort_tag(job.order.cohort),
        "image": job.ground.image.id,
        "flavor": job.ground.flavor.id,
        "external_network": job.ground.network_id,
        "password_hash": jupyter_hash(handout.password),
        "ssh_keys": ",".join(keys),
        "caretaker_keys": ensure_caretaker(job.reach.folder),
        **network_parameters(job.order.shape, job.seats.get(student.id)),
    }


def delete(job: Job, stack: Stack, step: str) -> Answered:
    """Ask for a stack to be deleted, as a step of the run."""
    try:
        delete_stack(job.connection, stack)
    except ProvisionError as exc:
        return Answered(stack.student, step, exc)
    return Answered(stack.student, step)
