"""Planning a smaller disk: tables of cases, no disk."""

from typing import TypeAlias

import pytest

from provision.disks.resize.layout import EMPTY, EXTENDED, SWAP_HEAD, Content, plan_layout
from provision.disks.resize.table import Partition, Table
from provision.errors import InvalidInputError

MIB = 2**20


Before: TypeAlias = tuple[Table, dict[int, Content]]


def table(label: str, size: int, *partitions: tuple[int, float, float, str]) -> Before:
    """A table of (number, start, size, content), in MiB."""
    kinds = {number: Content(kind) for number, _, _, kind in partitions}
    facts = {EXTENDED: (("type", "5"),)}
    found = tuple(
        Partition(number, int(start * MIB), int(length * MIB), facts.get(kind, (("type", "83"),)))
        for number, start, length, kind in partitions
    )
    return Table(label, size * MIB, found), kinds


SECTOR = 512 / MIB
# What there is, the MiB that the filesystem needs, and then: the disk's MiB, (number, start, size) of what changed.
CASES: dict[str, tuple[Before, float, float, list[tuple[int, float, float]]]] = {
    "alone": (table("dos", 1000, (1, 1, 999, "ext4")), 100, 101, [(1, 1, 100)]),
    "gpt keeps room for its second header": (table("gpt", 1000, (1, 1, 998, "ext4")), 100, 102, [(1, 1, 100)]),
    "it needs all": (table("gpt", 1000, (1, 1, 998.5, "ext4")), 998.5, 1000, []),
    "swap follows": (
        table("gpt", 1000, (1, 1, 700, "ext4"), (2, 701, 200, "swap")),
        100,
        302,
        [(1, 1, 100), (2, 101, 200)],
    ),
    "swap follows in its container": (
        table("dos", 1000, (1, 1, 700, "ext4"), (2, 701, 299, EXTENDED), (5, 702, 200, "swap")),
        100,
        302,
        [(1, 1, 100), (2, 101, 201), (5, 102, 200)],
    ),
    "the container shrinks with the root in it": (
        table("dos", 1000, (1, 1, 10, "ext2"), (2, 11, 989, EXTENDED), (5, 12, 700, "ext4"), (6, 713, 200, "swap")),
        100,
        313,
        [(2, 11, 302), (5, 12, 100), (6, 113, 200)],
    ),
    "a gap of a sector before a logical partition stays": (
        table("dos", 999, (2, 1, 998, EXTENDED), (5, 2, 700, "ext4"), (6, 702 + SECTOR, 200, "swap")),
        100,
        303,
        [(2, 1, 301 + SECTOR), (5, 2, 100), (6, 102 + SECTOR, 200)],
    ),
    "a wide gap closes": (
        table("dos", 1000, (1, 1, 100, "ext4"), (2, 800, 200, "swap")),
        100,
        302,
        [(2, 102, 200)],
    ),
    "sector 63 is no multiple of 1 MiB": (
        table("dos", 1000, (1, 63 * SECTOR, 700, "ext4"), (2, 700 + 63 * SECTOR, 200, "swap")),
        100,
        301,
        [(1, 63 * SECTOR, 100), (2, 100 + 63 * SECTOR, 200)],
    ),
    "what lies before stays, whatever it is": (
        table("gpt", 1000, (1, 1, 100, "vfat"), (2, 101, 400, "xfs"), (3, 501, 400, "ext4"), (4, 901, 50, EMPTY)),
        100,
        652,
        [(3, 501, 100), (4, 601, 50)],
    ),
    "numbers have no order": (
        table("gpt", 1000, (1, 200, 700, "ext4"), (2, 900, 50, "swap"), (14, 1, 4, "swap"), (15, 5, 100, "vfat")),
        100,
        351,
        [(1, 200, 100), (2, 300, 50)],
    ),
    "no table": (table("none", 1000, (0, 0, 1000, "ext4")), 100, 100, [(0, 0, 100)]),
}


@pytest.mark.parametrize("name", CASES)
def test_layout(name: str) -> None:
    (before, contents), size, expected_size, changed = CASES[name]
    layout = plan_layout(before, contents, int(size * MIB))
    assert layout.size == expected_size * MIB
    expected = {each.number: (each.start, each.size) for each in before.partitions}
    expected |= {number: (int(start * MIB), int(length * MIB)) for number, start, length in changed}
    assert {each.number: (each.start, each.size) for each in layout.partitions} == expected
    assert [each.facts for each in layout.partitions] == [each.facts for each in before.partitions]


@pytest.mark.parametrize("name", CASES)
def test_swap_goes_with_its_partition(name: str) -> None:
    (before, contents), size, _, _ = CASES[name]
    layout = plan_layout(before, contents, int(size * MIB))
    places = {each.number: each.start for each in layout.partitions}
    root = layout.root
    behind = [each for each in before.partitions if each.start > root and contents[each.number].kind == "swap"]
    expected = [(0, 0, root), *((each.start, places[each.number], SWAP_HEAD) for each in behind)]
    assert list(layout.moves) == expected


REFUSED = {
    "xfs": (table("gpt", 1000, (1, 1, 998, "xfs")), "partition 1 holds XFS"),
    "xfs behind": (table("gpt", 1000, (1, 1, 98, "ext4"), (2, 99, 100, "xfs")), "partition 2 holds XFS"),
    "a kind without a name of its own": (table("gpt", 9, (1, 1, 1, "ext4"), (2, 2, 1, "minix")), "2 holds minix"),
    "only swap": (table("dos", 9, (1, 1, 8, "swap")), "no filesystem"),
    "no partitions": (table("gpt", 9), "no filesystem"),
    "another table": (table("sgi", 9, (1, 1, 8, "ext4")), "type sgi"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str) -> None:
    (before, contents), reason = REFUSED[name]
    with pytest.raises(InvalidInputError, match=reason):
        plan_layout(before, contents, MIB)
