"""What is asked of a cloud before the first create: every answer that is no, at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from provision.cloud.builds import find_build, find_current
from provision.cloud.compute import Flavor, Size, choose_flavor, compute_quotas, describe
from provision.cloud.identity import whoami
from provision.cloud.images import Image, find_image, read_image
from provision.cloud.network import choose_external_network, network_quotas, public_addresses
from provision.cloud.stacks import count_stacks
from provision.core.capacity import Quota, needs, shortages
from provision.core.course import Course
from provision.core.shape import PRIVATE, Shape
from provision.errors import AuthenticationError, NotFoundError, PreflightError, ProvisionError

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

STACK_LIMIT = 512  # Heat's default for a project; it cannot be asked for
T = TypeVar("T")


@dataclass(frozen=True)
class Ground:
    """What every machine of the cohort is made with."""

    image: Image
    flavor: Flavor
    network_id: str
    network: str


def check_ground(
    connection: "Connection",
    course: Course,
    presentation: str,
    *,
    image: str | None,
    flavor: str | None,
    network: str | None,
    machines: int,
    shared: int = 0,
    shape: Shape = PRIVATE,
) -> Ground:
    """Image, flavor, network, and quota for what is new, machines and shared networks. Raises all problems together.

    `image` is an id, a name, or a build's (such as tm351-26J:3); without it the current build is taken.
    """
    problems: list[ProvisionError] = []

    def attempt(check: Callable[[], T]) -> T | None:
        try:
            return check()
        except AuthenticationError:
            raise  # nothing else can be asked
        except ProvisionError as exc:
            problems.append(exc)
            return None

    found = attempt(lambda: _find(connection, course, presentation, image))
    size = _size(course, found)
    chosen = attempt(lambda: choose_flavor(connection, flavor, size))
    external = attempt(lambda: choose_external_network(connection, network))
    if found and chosen and not size.fits(chosen):
        problems.append(_too_small(chosen, size, found))
    if chosen and (machines or shared):
        needed = needs(machines, shared=shared, shape=shape, vcpus=chosen.vcpus, memory=chosen.memory)
        what = _counted(machines, shared)
        attempt(lambda: _check_quota(connection, needed, external[0] if external else None, what))
    if found is None or chosen is None or external is None or problems:
        raise _together(problems)
    return Ground(found, chosen, *external)


def _find(connection: "Connection", course: Course, presentation: str, image: str | None) -> Image:
    if image is None:
        return find_current(connection, course.name, presentation)
    try:
        build = find_build(connection, image)
    except NotFoundError:
        return find_image(connection, image)  # any other image, at the person's own risk
    return read_image(connection, build.id)


def _size(course: Course, image: Image | None) -> Size:
    machine = course.machine
    if image is None:
        return Size(machine.vcpus, machine.memory_mb, machine.disk_gb)
    return Size(machine.vcpus, max(machine.memory_mb, image.min_ram), max(machine.disk_gb, image.smallest_disk))


def _too_small(flavor: Flavor, size: Size, image: Image) -> PreflightError:
    return PreflightError(
        f"Flavor {describe(flavor)} is too small: the course and its image need {size} "
        f"(image min_disk {image.min_disk} GiB, virtual size {(image.virtual_size or 0) / 2**30:.1f} GiB).",
        hint="Take a larger flavor, or leave --flavor out: then the smallest that fits is taken.",
    )


def _check_quota(connection: "Connection", needed: Mapping[str, int], external: str | None, what: str) -> None:
    quotas = {
        "stacks": Quota(STACK_LIMIT, count_stacks(connection)),
        **compute_quotas(connection),
        **network_quotas(connection, whoami(connection).project_id),
        **(public_addresses(connection, external) if external else {}),
    }
    short = shortages(needed, quotas)
    if short:
        raise PreflightError(
            "\n".join([f"The project has no room for {what}:", *(f"  {words}" for words in short)]),
            hint="Delete what nobody uses, launch fewer students, or ask the operator to raise these quotas.",
        )


def _counted(machines: int, shared: int) -> str:
    words = [f"{machines} more machine{'' if machines == 1 else 's'}"]
    words += [f"{shared} shared network{'' if shared == 1 else 's'}"] if shared else []
    return " and ".join(words)


def _together(problems: list[ProvisionError]) -> ProvisionError:
    """One problem keeps its kind and exit code; several are one refusal."""
    if len(problems) == 1:
        return problems[0]
    lines = [f"- {problem.message}" + (f"\n  Try: {problem.hint}" if problem.hint else "") for problem in problems]
    return PreflightError("\n".join(["Nothing was changed, because:", *lines]))
