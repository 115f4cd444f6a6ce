"""A presentation's builds on a cloud: which is current, which number is next, what rollback and prune do."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from provision.core.naming import build_name

_STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_STAMPED = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)  # of one length, so that it sorts
_UNSEEN = "nothing here needs it; machines of other projects cannot be seen"
ABANDONED = timedelta(days=1)  # after which what is not finished is not being worked on either


@dataclass(frozen=True)
class Published:
    """A build on a cloud, as its image tells. Sizes in bytes, min_disk in GiB, min_ram in MiB, times in ISO 8601, UTC.

    `promoted` is when it became current, `verified` when it was proved; empty, it never was (or was rolled back).
    `contents` is the id of the image that lists what is in it, or empty.
    """

    id: str
    course: str
    presentation: str
    build: str
    number: int
    created: str
    promoted: str = ""
    verified: str = ""
    forced: bool = False
    size: int = 0
    min_disk: int = 0
    min_ram: int = 0
    visibility: str = ""
    owner: str = ""
    protected: bool = False
    toolkit: str = ""
    sha256: str = ""
    source_sha256: str = ""
    contents: str = ""
    contents_sha256: str = ""

    @property
    def name(self) -> str:
        """How a person names it, such as tm351-26J:3."""
        return build_name(self.course, self.presentation, self.number)


@dataclass(frozen=True)
class Leftover:
    """An image of ours that is no build: one that was never finished, or the contents of a build that is gone."""

    id: str
    name: str
    created: str


@dataclass(frozen=True)
class Verdict:
    """What prune does with a build, and why."""

    build: Published
    remove: bool
    why: str


def promotion(text: str) -> str:
    """The time at which a build was promoted, as its image says it; empty if that is no time."""
    try:
        return text if _STAMPED.fullmatch(text) and datetime.strptime(text, _STAMP) else ""
    except ValueError:
        return ""


def numbered(builds: Iterable[Published]) -> tuple[Published, ...]:
    """A presentation's builds, the lowest number first, each number once.

    Two who publish at the same time take the same number: the later image counts as the next.
    """
    made: list[Published] = []
    for build in sorted(builds, key=lambda build: (build.number, build.created, build.id)):
        number = max(build.number, made[-1].number + 1 if made else 1)
        made.append(replace(build, number=number))
    return tuple(made)


def next_number(builds: Iterable[Published]) -> int:
    """The number of a presentation's next build: 1, 2, 3 and so on."""
    return max((build.number for build in builds), default=0) + 1


def promotion_order(builds: Iterable[Published]) -> tuple[Published, ...]:
    """The builds that were promoted, the last one first: that is the current one, then the one to roll back to."""
    promoted = [build for build in builds if build.promoted]
    return tuple(sorted(promoted, key=lambda build: (build.promoted, build.number, build.id), reverse=True))


def current(builds: Iterable[Published]) -> Published | None:
    """The build that the presentation's machines are made from: of any number of promoted ones exactly one."""
    return next(iter(promotion_order(builds)), None)


def next_promotion(builds: Iterable[Published], now: datetime) -> str:
    """The time that makes a build current: `now` (UTC), or just after the latest where a clock is wrong."""
    last = max((build.promoted for build in builds), default="")
    if last and (after := datetime.strptime(last, _STAMP) + timedelta(microseconds=1)) > now.replace(tzinfo=None):
        return after.strftime(_STAMP)
    return now.strftime(_STAMP)


def matching(builds: Iterable[Published], reference: str) -> tuple[Published, ...]:
    """What `reference` names: an image's id, a build's id, tm351-26J:3, or tm351-26J for its current build."""
    builds = tuple(builds)
    found = [build for build in builds if reference in (build.id, build.build, build.name)]
    if not found:
        now = current(build for build in builds if build.name.rpartition(":")[0] == reference)
        found = [now] if now else []
    return tuple(found)


def plan_prune(builds: Iterable[Published], *, keep: int, used: Mapping[str, int], project: str) -> tuple[Verdict, ...]:
    """What stays of a presentation's builds and why: in their order. `used` counts machines by the image's id."""
    builds = tuple(builds)
    order = [build.id for build in promotion_order(builds)]
    newest = [build.id for build in builds][-keep:] if keep else []
    reasons: tuple[tuple[str, Callable[[Published], bool]], ...] = (
        ("it belongs to another project", lambda build: build.owner != project),
        ("it is current", lambda build: build.id in order[:1]),
        ("it is the previous one", lambda build: build.id in order[1:2]),
        ("it is in use", lambda build: used.get(build.id, 0) > 0),
        ("it is protected", lambda build: build.protected),
        (f"it is one of the newest {keep}", lambda build: build.id in newest),
    )

    def judge(build: Published) -> Verdict:
        why = next((reason for reason, holds in reasons if holds(build)), "")
        return Verdict(build, not why, why or (_UNSEEN if build.visibility != "private" else "nothing needs it"))

    return tuple(judge(build) for build in builds)


def abandoned(leftovers: Iterable[Leftover], builds: Iterable[Published], now: datetime) -> tuple[Leftover, ...]:
    """Which leftovers can go: no build refers to them, and nobody can still be at work on them. `now` is in UTC."""
    wanted = {build.contents for build in builds}
    limit = (now - ABANDONED).strftime("%Y-%m-%dT%H:%M:%SZ")  # as Glance writes its times
    return tuple(each for each in leftovers if each.id not in wanted and each.created < limit)
