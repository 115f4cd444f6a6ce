"""The story of a project for each student: made before the first machine, removed after the last."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.builds import observe_builds
from provision.cloud.identity import whoami
from provision.cloud.images import accept_image, add_member, change_image, remove_member
from provision.cloud.projects import (
    create_user,
    delete_project,
    delete_user,
    ensure_project,
    enter,
    find_domain,
    find_projects,
    find_user,
    grant,
    own_user,
    role_ids,
    set_quota,
    strangers,
)
from provision.core.findings import Finding
from provision.core.images import Image
from provision.core.naming import cohort_tag, stack_name, student_tag
from provision.core.outcome import Failed, Outcome
from provision.core.places import Layout
from provision.core.plan import Action, Create
from provision.core.roster import Student
from provision.core.tenancy import Project, Tenancy, allowance, missing, operator_roles
from provision.errors import AuthenticationError, CloudError, NotFoundError, ProvisionError
from provision.guests.credentials import new_password
from provision.guests.probes import Stage
from provision.paths import write_private
from provision.progress import Progress, Silent
from provision.workflows.cohort import Plan, delete, find_actions, launch, wish
from provision.workflows.handouts import ensure_handouts, prepare_folder, read_handouts
from provision.workflows.labels import keep_key
from provision.workflows.locking import hold
from provision.workflows.orders import Order
from provision.workflows.preflight import Ground, check_ground
from provision.workflows.tenancy import find_homes, in_each

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

ACCOUNTS = "accounts.csv"  # beside handout.csv, 0600: who was given an account of the cloud, and its first password


@dataclass(frozen=True)
class _Making:
    """What all projects are made with; roles by name."""

    connection: "Connection"
    order: Order
    tenancy: Tenancy
    ground: Ground
    domain: str
    operator: str
    roles: Mapping[str, str]
    operator_roles: tuple[str, ...]
    accounts: Mapping[str, str]


def launch_projects(
    connection: "Connection",
    order: Order,
    *,
    folder: Path,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
    stages: tuple[Stage, ...] | None = None,
) -> tuple[Outcome, ...]:
    """A project for each student of the order, with the machine in it; as `launch`, which does the rest."""
    with hold(connection, order.cohort, "launch", clock, progress) as check:
        with progress.phase("Checking the cloud, the image, the flavor and the network"):
            ground = check_ground(connection, wish(order, (), Layout((), {})))
            making = _prepare(connection, order, ground, folder)
        keep_key(order.labels, folder)
        _prepare_handouts(order, folder)
        failed: dict[str, Outcome] = {}
        with progress.phase("Making students' projects") as phase:
            for count, student in enumerate(order.students):
                phase.update(count, len(order.students), "projects")
                check()
                if why := _ensure(making, student):
                    failed[student.id] = why
        homes = [each for each in find_homes(connection, order) if each.order.students and each.student not in failed]

        choice = replace(order.choice, image=ground.image.id, flavor=ground.flavor.id, network=ground.network_id)

        def launch_one(inside: "Connection", part: Order, quiet: Progress) -> Iterable[Outcome]:
            return launch(
                inside,
                replace(part, choice=choice),
                folder=folder,
                deadline=deadline,
                progress=quiet,
                stages=stages,
                clock=clock,
            )

        words = "Launching and proving machines"
        done = in_each(connection, homes, launch_one, lambda why: why, words=words, progress=progress, clock=clock)
    outcomes = {each.student: each for each in done} | failed
    return tuple(outcomes[student.id] for student in order.students)


def _prepare(connection: "Connection", order: Order, ground: Ground, folder: Path) -> _Making:
    """What is the same for all. Raises NotFoundError for a role that there is not."""
    tenancy = order.tenancy or Tenancy()
    roles = role_ids(connection)
    if unknown := sorted({*tenancy.roles} - {*roles}):
        raise NotFoundError(
            f"The cloud has no role {', '.join(unknown)}. It has: {', '.join(sorted(roles))}.",
            hint="Write others under [projects] in cohort.toml.",
        )
    if ground.image.visibility == "private":
        change_image(connection, ground.image.id, f"Sharing {ground.image.name}", {"visibility": "shared"})
    own = [role for role in operator_roles(whoami(connection).roles) if role in roles]
    user, _ = own_user(connection)
    domain = find_domain(connection, tenancy.domain)
    accounts = _accounts(order, folder) if tenancy.users == "create" else {}
    return _Making(connection, order, tenancy, ground, domain, user, roles, tuple(own), accounts)


def _prepare_handouts(order: Order, folder: Path) -> None:
    """All at once: the launches in the projects, side by side, then find theirs."""
    user, scheme, known = order.course.user.name, order.course.scheme, read_handouts(folder)
    if new := [each for each in order.students if each.id not in known]:
        ensure_handouts(folder, new, user, scheme)


def _accounts(order: Order, folder: Path) -> dict[str, str]:
    """A first password for each account, written down before any is made."""
    prepare_folder(folder)
    place = folder / ACCOUNTS
    held = {row["user"]: row["password"] for row in csv.DictReader(place.open())} if place.is_file() else {}
    held = {**{each.id: new_password() for each in order.students if each.id not in held}, **held}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("user", "password"), *held.items()])
    write_private(place, text.getvalue())
    return held


def _ensure(making: _Making, student: Student) -> Failed | None:
    """All that a student's project needs. Each step can be done twice, so that a run that was killed goes on."""
    label = making.order.labels.label(student.id)
    tags = cohort_tag(making.order.cohort), student_tag(label)
    try:
        user = _ensure_user(making, student)
        project = ensure_project(making.connection, stack_name(making.order.cohort, label), making.domain, *tags)
        for role in making.operator_roles:
            grant(making.connection, project, making.operator, making.roles[role])
        set_quota(making.connection, project, allowance(making.order.shape, making.ground.flavor))
        _share(making.connection, making.ground.image, project)
        for role in making.tenancy.roles if user else ():
            grant(making.connection, project, str(user), making.roles[role])
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        return Failed(student.id, "project", exc.message, exc.hint or "")
    return None


def _ensure_user(making: _Making, student: Student) -> str | None:
    if making.tenancy.users == "none":
        return None
    if found := find_user(making.connection, student.id, making.domain):
        return found
    if making.tenancy.users == "existing":
        raise NotFoundError(
            f"{student.id} is no user of the cloud.",
            hint='Ask the operator for the account, or write users = "create" or "none" under [projects].',
        )
    mark = cohort_tag(making.order.cohort)
    return create_user(making.connection, student.id, making.domain, making.accounts[student.id], mark)


def _share(connection: "Connection", image: Image, project: Project) -> None:
    if image.visibility in ("private", "shared"):
        add_member(connection, image.id, project.id, f"Sharing {image.name} with project {project.name}")
        accept_image(enter(connection, project), image.id, f"Accepting {image.name} in project {project.name}")


def plan_projects(connection: "Connection", order: Order) -> Plan:
    """As `plan`: who has no project yet gets one, and a machine."""
    ground = check_ground(connection, wish(order, (), Layout((), {})))

    def look(inside: "Connection", part: Order, _quiet: Progress) -> Iterable[Action | Failed]:
        return find_actions(inside, part)[0]

    homes = find_homes(connection, order)
    words = "Looking into students' projects"
    found = in_each(connection, homes, look, lambda why: why, words=words, progress=Silent()) if homes else []
    if lost := [f"  {each.student}: {each.reason}" for each in found if isinstance(each, Failed)]:
        raise CloudError("\n".join(["Some projects cannot be looked into:", *lost]), hint="A launch mends roles.")
    actions = {each.student: each for each in found if not isinstance(each, Failed)}
    wanted = [actions.pop(student.id, Create(student.id)) for student in order.students]
    return Plan(ground, (*wanted, *actions.values()), Layout((), {}))


def shared_images(connection: "Connection", order: Order) -> tuple[str, ...]:
    """The images that students' projects may have been given: all builds of the course."""
    return tuple(build.id for build in observe_builds(connection, order.course.name))


def missing_projects(connection: "Connection", order: Order) -> tuple[Finding, ...]:
    """What is missing for each student, for a preflight."""
    tenancy = order.tenancy or Tenancy()
    domain = find_domain(connection, tenancy.domain)
    labels = {student.id: order.labels.label(student.id) for student in order.students}
    known = [] if tenancy.users == "none" else [who for who in labels if find_user(connection, who, domain)]
    projects = find_projects(connection, cohort_tag(order.cohort))
    return tuple(missing(labels, projects, known, tenancy, may="admin" in whoami(connection).roles))


def delete_projects(
    connection: "Connection",
    order: Order,
    images: Iterable[str],
    *,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
) -> int:
    """Delete every machine, and the projects and accounts that were made for them; how many machines they were.

    Raises CloudError if any is left: of a project in which its student made something of his own, nothing of that is
    touched.
    """
    images = list(images)
    with hold(connection, order.cohort, "delete", clock, progress):
        homes = find_homes(connection, order)
        done: list[int | Failed] = in_each(
            connection,
            homes,
            lambda inside, part, quiet: [_end(inside, part.cohort, quiet, deadline, clock)],
            lambda why: why,
            words="Deleting machines",
            progress=progress,
            clock=clock,
        )
        failed = [each for each in done if isinstance(each, Failed)]
        lost = {each.student for each in failed}
        with progress.phase("Deleting projects"):
            for home in homes:
                if home.student in lost:
                    continue
                _remove(connection, order, home.project, home.student, images)
    left = find_projects(connection, cohort_tag(order.cohort))
    if left:
        why = {each.student: each.reason for each in failed}
        lines = [f"  {each.name}: {why.get(order.labels.student(each.label), 'is still there')}" for each in left]
        raise CloudError(
            "\n".join([f"{len(left)} projects of {order.cohort} are left:", *lines]),
            hint="What students made by themselves is theirs to remove, or the operator's. Then run this again.",
        )
    return sum(each for each in done if isinstance(each, int))


def _end(inside: "Connection", cohort: str, quiet: Progress, deadline: float, clock: Clock) -> int:
    """The machine of one project, and the proof that nothing is left there."""
    count = delete(inside, cohort, deadline=deadline, progress=quiet, clock=clock)
    if left := strangers(inside):
        raise CloudError(f"it holds what its student made: {', '.join(left)}")
    return count


def _remove(connection: "Connection", order: Order, project: Project, student: str, images: list[str]) -> None:
    for image in images:
        remove_member(connection, image, project.id, f"Taking image {image} from project {project.name}")
    tenancy = order.tenancy or Tenancy()
    delete_project(connection, project)
    if tenancy.users == "create":
        delete_user(connection, student, find_domain(connection, tenancy.domain), cohort_tag(order.cohort))
