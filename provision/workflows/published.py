"""What can be done with the builds that a cloud has: promote, roll back, share, accept, prune."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from provision.cloud.builds import PROMOTION, find_build, observe_builds, observe_leftovers
from provision.cloud.compute import images_in_use
from provision.cloud.images import accept_image, add_member, change_image, delete_image
from provision.core.builds import (
    Leftover,
    Published,
    Verdict,
    abandoned,
    current,
    matching,
    next_promotion,
    plan_prune,
    promotion_order,
)
from provision.core.naming import image_name
from provision.errors import NotFoundError, PreflightError
from provision.progress import Progress

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Pruning:
    """What prune would do: a verdict for each build, and the leftovers that go with it."""

    verdicts: tuple[Verdict, ...]
    leftovers: tuple[Leftover, ...]

    @property
    def removed(self) -> tuple[Published, ...]:
        """The builds that go."""
        return tuple(verdict.build for verdict in self.verdicts if verdict.remove)


def list_builds(connection: "Connection", course: str | None, presentation: str | None) -> list[tuple[Published, bool]]:
    """The builds that the project sees, and of each whether it is its presentation's current one."""
    builds = observe_builds(connection, course, presentation)
    return [(build, build == now) for group in _groups(builds) for now in [current(group)] for build in group]


def show_build(connection: "Connection", reference: str) -> tuple[Published, bool]:
    """The build that `reference` names, and whether it is current."""
    build = find_build(connection, reference)
    now = current(observe_builds(connection, build.course, build.presentation))
    return build, now is not None and now.id == build.id


def _groups(builds: Iterable[Published]) -> list[tuple[Published, ...]]:
    """The builds of each presentation."""
    return [tuple(group) for _, group in groupby(builds, key=lambda build: (build.course, build.presentation))]


def promote(connection: "Connection", reference: str, progress: Progress) -> Published:
    """Make a published build its presentation's current one: by one request, after which no other is."""
    build = _own(connection, find_build(connection, reference), "promote it")
    there = observe_builds(connection, build.course, build.presentation)
    if (now := current(there)) and now.id == build.id:
        progress.say(f"Nothing to do: {build.name} is current already.")
    else:
        stamp = next_promotion(there, datetime.now(UTC))
        change_image(connection, build.id, f"Promoting {build.name}", {PROMOTION: stamp})
    return build


def rollback(connection: "Connection", course: str, presentation: str) -> tuple[Published, Published]:
    """Take the current build back, so that the one before is current; returns both, the new current one first."""
    order = promotion_order(observe_builds(connection, course, presentation))
    if len(order) < 2:
        words = f"only {order[0].name} was ever current" if order else "none was ever current"
        raise NotFoundError(
            f"There is no build of {image_name(course, presentation)} to roll back to: {words}.",
            hint="See which there are: provision image list; then: provision image promote IMAGE.",
        )
    last, before = _own(connection, order[0], "take it back"), order[1]
    change_image(connection, last.id, f"Taking back {last.name}", {PROMOTION: None})
    return before, last


def _own(connection: "Connection", build: Published, what: str) -> Published:
    if build.owner != connection.current_project_id:
        raise PreflightError(
            f"{build.name} belongs to project {build.owner}: only that project can {what}.",
            hint="Sign in to that project, or publish a build of your own.",
        )
    return build


def share(connection: "Connection", reference: str, members: tuple[str, ...]) -> Published:
    """Offer a build to other projects (by their ids), each of which then has to accept it."""
    build = _own(connection, find_build(connection, reference), "share it")
    if build.visibility not in ("private", "shared"):
        raise PreflightError(
            f"{build.name} is {build.visibility}: every project can use it already.", hint=f"Its id is {build.id}."
        )
    if build.visibility == "private":
        for image in filter(None, (build.contents, build.id)):
            change_image(connection, image, f"Sharing {build.name}", {"visibility": "shared"})
    share_with(connection, build, members)
    return build


def share_with(connection: "Connection", build: Published, members: tuple[str, ...]) -> None:
    """Make the projects members of a shared build's image, and of the one that lists what is in it."""
    for member in members:
        for image in filter(None, (build.contents, build.id)):
            add_member(connection, image, member, f"Sharing {build.name} with project {member}")


def accept(connection: "Connection", reference: str) -> Published:
    """Accept a build that another project shares with this one: from then on it is found as its own are."""
    offered = observe_builds(connection, visibility="shared", member_status="all")
    found = [build for build in matching(offered, reference) if build.owner != connection.current_project_id]
    if len(found) != 1:
        names = ", ".join(f"{build.name} ({build.id})" for build in found or offered) or "none"
        raise NotFoundError(
            f"{len(found) or 'No'} builds that are shared with this project are called {reference!r}. Shared: {names}.",
            hint="Its owner offers it: provision image share IMAGE --member "
            f"{connection.current_project_id}. Then accept it by the image's id.",
        )
    accept_image(connection, found[0].id, f"Accepting {found[0].name}")
    return found[0]


def plan_pruning(connection: "Connection", course: str, presentation: str | None, keep: int) -> Pruning:
    """What prune would remove of a course's builds, and why it keeps the others."""
    builds = observe_builds(connection, course, presentation)
    used, project = images_in_use(connection), str(connection.current_project_id)
    verdicts = [
        verdict for group in _groups(builds) for verdict in plan_prune(group, keep=keep, used=used, project=project)
    ]
    leftovers = observe_leftovers(connection, course, presentation)
    return Pruning(tuple(verdicts), abandoned(leftovers, builds, datetime.now(UTC)))


def prune(
    connection: "Connection", course: str, presentation: str | None, keep: int, agreed: Pruning, progress: Progress
) -> Pruning:
    """Remove what was agreed on and still is not needed, each build with its list of contents; what was removed."""
    now = plan_pruning(connection, course, presentation, keep)
    ids = {build.id for build in agreed.removed} | {each.id for each in agreed.leftovers}
    removed = tuple(verdict for verdict in now.verdicts if verdict.remove and verdict.build.id in ids)
    leftovers = tuple(each for each in now.leftovers if each.id in ids)
    ours = {each.id for each in observe_leftovers(connection, course, presentation)}
    with progress.phase("Removing builds") as phase:
        for number, build in enumerate([verdict.build for verdict in removed], 1):
            delete_image(connection, build.id, f"Removing {build.name}")
            if build.contents in ours:
                delete_image(connection, build.contents, f"Removing the contents of {build.name}")
            phase.update(number, len(removed), "builds")
        for each in leftovers:
            delete_image(connection, each.id, f"Removing {each.name}")
        phase.result(f"{len(removed)} builds, {len(leftovers)} leftovers")
    return Pruning(removed, leftovers)
