"""Flavors, and what a machine needs of one: numbers that a person compares."""

from collections.abc import Iterable
from dataclasses import dataclass

from provision.errors import NotFoundError


@dataclass(frozen=True, order=True)
class Flavor:
    """A size of machine, ordered from small to large. Memory in MiB, disk in GiB; disk 0 is as large as the image."""

    memory: int
    vcpus: int
    disk: int
    name: str
    id: str


@dataclass(frozen=True)
class Size:
    """What a machine must at least have, in Flavor's units."""

    vcpus: int
    memory: int
    disk: int

    def fits(self, flavor: Flavor) -> bool:
        """Whether the flavor has at least this."""
        large = flavor.vcpus >= self.vcpus and flavor.memory >= self.memory
        return large and (flavor.disk >= self.disk or flavor.disk == 0)

    def __str__(self) -> str:
        return f"{self.vcpus} vCPU, {self.memory} MiB of memory, {self.disk} GiB of disk"


def smallest(flavors: Iterable[Flavor], size: Size) -> Flavor | None:
    """The smallest flavor that fits. One without a disk of its own is taken only by name: many clouds forbid it."""
    return min((flavor for flavor in flavors if flavor.disk and size.fits(flavor)), default=None)


def describe(flavor: Flavor) -> str:
    """The flavor's name with its numbers."""
    return f"{flavor.name} ({flavor.vcpus} vCPU, {flavor.memory} MiB, {flavor.disk} GiB)"


def choose_flavor(flavors: Iterable[Flavor], name: str | None, size: Size) -> Flavor:
    """The flavor `name`, or the smallest that fits `size`. Raises NotFoundError with those there are."""
    known = sorted(flavors)
    named = (flavor for flavor in known if name in (flavor.name, flavor.id))
    chosen = smallest(known, size) if name is None else next(named, None)
    if chosen is not None:
        return chosen
    there = f"Flavors: {', '.join(map(describe, known)) or 'none'}."
    if name is not None:
        fit = smallest(known, size)
        raise NotFoundError(f"There is no flavor {name!r}. {there}", hint=f"Take {describe(fit)}." if fit else None)
    raise NotFoundError(f"No flavor has {size}. {there}", hint=new_flavor(size))


def new_flavor(size: Size) -> str:
    """What to ask the operator for, where no flavor fits."""
    asked = f"openstack flavor create --vcpus {size.vcpus} --ram {size.memory} --disk {size.disk} NAME"
    return f"Ask the operator for: {asked}"
