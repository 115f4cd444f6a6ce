"""What an image says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provision.core.flavors import Flavor


@dataclass(frozen=True)
class Image:
    """An image. Sizes in bytes, min_disk in GiB, min_ram in MiB; virtual_size is None where Glance did not find out."""

    id: str
    name: str
    status: str
    size: int | None
    virtual_size: int | None
    min_disk: int
    min_ram: int
    created: str
    disk_format: str
    owner: str
    visibility: str
    protected: bool
    properties: Mapping[str, Any]

    @property
    def smallest_disk(self) -> int:
        """The smallest root disk in GiB: Nova compares both min_disk and the virtual size."""
        return max(self.min_disk, -(-(self.virtual_size or 0) // 2**30))

    def __str__(self) -> str:
        virtual = "not known" if self.virtual_size is None else f"{self.virtual_size / 2**30:.1f} GiB"
        return f"min_disk {self.min_disk} GiB, virtual size {virtual}, min_ram {self.min_ram} MiB"


def misfits(image: Image, flavor: Flavor) -> tuple[str, ...]:
    """Where the flavor is too small for the image, each with both numbers. Nova compares all three."""
    virtual = (image.virtual_size or 0) / 2**30
    disk = f"flavor disk {flavor.disk} GiB"
    compared = (
        (flavor.disk and flavor.disk < image.min_disk, f"{disk} < image min_disk {image.min_disk} GiB"),
        (flavor.disk and flavor.disk < virtual, f"{disk} < image virtual size {virtual:.1f} GiB"),
        (
            flavor.memory < image.min_ram,
            f"flavor memory {flavor.memory} MiB < image min_ram {image.min_ram} MiB",
        ),
    )
    return tuple(words for small, words in compared if small)
