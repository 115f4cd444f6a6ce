"""What is asked of a cloud before the first create: every answer, and all that are no at once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from provision.clock import REAL, Clock
from provision.cloud.builds import find_build, find_current
from provision.cloud.compute import compute_quotas, list_flavors
from provision.cloud.identity import Caller, clock_skew, whoami
from provision.cloud.images import find_image, membership, read_image
from provision.cloud.network import choose_external_network, list_subnets, network_quotas, public_addresses
from provision.cloud.stacks import count_stacks
from provision.core import checks, network_checks
from provision.core.capacity import Quota, needs
from provision.core.course import Course
from provision.core.diagnosis import Facts
from provision.core.findings import REFUSAL, WARNING, Finding, in_order, of, unknown
from provision.core.flavors import Flavor, Size, choose_flavor
from provision.core.images import Image
from provision.core.naming import cohort_tag
from provision.core.network_checks import External
from provision.core.shape import PRIVATE, Shape
from provision.errors import AuthenticationError, ForbiddenError, NotFoundError, PreflightError, ProvisionError
from provision.workflows.probe import NAME, probe_heat

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

T = TypeVar("T")
QUOTAS: tuple[tuple[str, Callable[["Connection", str], Mapping[str, Quota]]], ...] = (
    ("machines", lambda connection, _project: compute_quotas(connection)),
    ("networks", network_quotas),
)


@dataclass(frozen=True)
class Ground:
    """What every machine of the cohort is made with, what is known of it, and what is worth a warning."""

    image: Image
    flavor: Flavor
    network_id: str
    network: str
    facts: Facts = field(default_factory=Facts)
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is to be made, machines and networks that they share, and from what. None is the usual one.

    `stack_limit` is how many stacks the project may have, where that is known.
    """

    course: Course
    presentation: str
    image: str | None = None
    flavor: str | None = None
    network: str | None = None
    machines: int = 0
    shared: int = 0
    shape: Shape = PRIVATE
    stack_limit: int | None = None

    @property
    def new(self) -> bool:
        """Whether anything is to be made."""
        return bool(self.machines or self.shared)


@dataclass(frozen=True)
class Survey:
    """What was found. `ground` is None where a machine cannot be made at all."""

    findings: tuple[Finding, ...]
    ground: Ground | None


@dataclass(frozen=True)
class _Notes:
    """The findings so far."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Note them."""
        self.findings.extend(findings)

    def needed(self, name: str, read: Callable[[], T]) -> T | None:
        """What no machine is made without: that it cannot be read is a refusal."""
        try:
            return read()
        except AuthenticationError:
            raise  # nothing else can be asked
        except ProvisionError as exc:
            self.findings.append(Finding(name, REFUSAL, exc.message, exc.hint or ""))
            return None

    def told(self, name: str, read: Callable[[], T], about: str = "") -> T | None:
        """What is good to know. Many clouds do not show all of it to a project, and that refuses nothing."""

        def ask() -> T | None:
            try:
                return read()
            except (ForbiddenError, NotFoundError) as exc:
                self.findings.append(unknown(name, f"the cloud does not show it. {exc.message}", about=about))
                return None

        return self.needed(name, ask)


def check_ground(connection: "Connection", wish: Wish, *, making: bool = False) -> Ground:
    """Image, flavor, network and room for what is new. Raises PreflightError with all refusals together.

    If it is for `making` machines at once, a credential that is no password is tried on Heat first.
    """
    doubt = making and wish.new and whoami(connection).credential != "password"
    found = survey(connection, wish, probe=doubt)
    if found.ground is None or of(REFUSAL, found.findings):
        raise _refused(of(REFUSAL, found.findings))
    return found.ground


def survey(
    connection: "Connection", wish: Wish, *, thorough: bool = False, probe: bool = False, clock: Clock = REAL
) -> Survey:
    """All that can be asked of the cloud without making a machine.

    Where nothing new is wished for, only what machines are made from, unless it is to be `thorough`. `probe`: ask Heat
    for a stack that holds nothing.
    """
    notes = _Notes()
    facts, external = _material(connection, wish, notes)
    if thorough or wish.new:
        caller = whoami(connection)
        _ask_who(connection, caller, notes, clock if probe else None)
        facts = _room(connection, wish, replace(facts, project=caller.project_id), notes)
        if external:
            _ways(connection, wish, external, facts, notes)
    findings = in_order(notes.findings)
    if facts.image is None or facts.flavor is None or external is None:
        return Survey(findings, None)
    return Survey(findings, Ground(facts.image, facts.flavor, external.id, external.name, facts, of(WARNING, findings)))


def _material(connection: "Connection", wish: Wish, notes: _Notes) -> tuple[Facts, External | None]:
    """Image, flavor and external network."""
    image = notes.needed("image", lambda: wished_image(connection, wish))
    if image:
        member = membership(connection, image.id) if _foreign(connection, image) else None
        notes.add([checks.image(image, connection.current_project_id or "", member)])
    flavor = _flavor(connection, wish, image, notes)
    external = notes.needed("external_network", lambda: choose_external_network(connection, wish.network))
    return Facts(flavor, image), external


def _flavor(connection: "Connection", wish: Wish, image: Image | None, notes: _Notes) -> Flavor | None:
    flavors = notes.needed("flavor", lambda: list_flavors(connection))
    if flavors is None:
        return None
    machine = wish.course.machine
    course = Size(machine.vcpus, machine.memory_mb, machine.disk_gb)
    chosen = notes.needed("flavor", lambda: choose_flavor(flavors, wish.flavor, checks.size_of(course, image)))
    notes.add([checks.flavor(chosen, course, image, flavors)] if chosen else [])
    return chosen


def wished_image(connection: "Connection", wish: Wish) -> Image:
    """The image that is named, or the presentation's current build."""
    if wish.image is None:
        return find_current(connection, wish.course.name, wish.presentation)
    try:
        build = find_build(connection, wish.image)
    except NotFoundError:
        return find_image(connection, wish.image)  # any other image, at the person's own risk
    return read_image(connection, build.id)


def _foreign(connection: "Connection", image: Image) -> bool:
    return image.visibility == "shared" and image.owner not in ("", connection.current_project_id)


def _ask_who(connection: "Connection", caller: Caller, notes: _Notes, probing: Clock | None) -> None:
    """Credential and clock; Heat is tried by a clock that is given for it."""
    probed = probe_heat(connection, probing) if probing else None
    notes.add([checks.credential(caller.user, caller.project, caller.roles, caller.credential, probed)])
    skew = notes.told("clock", lambda: (clock_skew(connection),))
    notes.add([checks.clock(*skew)] if skew else [])


def _room(connection: "Connection", wish: Wish, facts: Facts, notes: _Notes) -> Facts:
    """Whether the project's limits leave what is needed."""
    if facts.flavor is None:
        return facts
    flavor, shape = facts.flavor, wish.shape
    needed = needs(wish.machines, shared=wish.shared, shape=shape, vcpus=flavor.vcpus, memory=flavor.memory)
    limits: dict[str, Quota] = {}
    for what, read in QUOTAS:
        limits |= notes.told("quota", partial(read, connection, facts.project), what) or {}
    notes.add(checks.quotas(needed, limits, facts.project, shape))
    used = notes.told("stacks", lambda: (count_stacks(connection, cohort_tag(NAME)),))
    notes.add([checks.stacks(needed["stacks"], *used, wish.stack_limit)] if used else [])
    return replace(facts, quotas=limits, needed=needed)


def _ways(connection: "Connection", wish: Wish, external: External, facts: Facts, notes: _Notes) -> None:
    """Whether the external network carries the cohort."""
    seen = notes.told("overlap", lambda: list_subnets(connection))
    outside = [subnet for subnet in seen or () if subnet.network == external.id]
    notes.add([network_checks.external_network(external, outside)])
    notes.add([network_checks.mtu(external.mtu, external.name)])
    if seen is not None:
        notes.add(network_checks.overlaps(wish.shape, external, seen))
    counted = notes.told("addresses", lambda: public_addresses(connection, external.id))
    if counted is not None:
        needed = facts.needed.get("public addresses", 0)
        quota = counted.get("public addresses")
        notes.add([network_checks.addresses(needed, quota, outside, external.name)])


def _refused(refusals: tuple[Finding, ...]) -> PreflightError:
    if len(refusals) == 1:
        return PreflightError(refusals[0].meaning, hint=refusals[0].fix or None)
    lines = [f"- {each.meaning}" + (f"\n  Try: {each.fix}" if each.fix else "") for each in refusals]
    return PreflightError("\n".join(["Nothing was changed, because:", *lines]))
