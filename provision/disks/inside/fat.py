"""FAT12, FAT16 and FAT32: what is free, and what an EFI system partition holds. After Microsoft's fatgen103."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provision.disks.inside.view import Pread
from provision.errors import InvalidInputError

CLUSTERS_16, CLUSTERS_32 = 4085, 2**28  # from how many on it is FAT16; too many for FAT32
MOST_ENTRIES = 4096  # 32-byte entries of one folder that are read
CHUNK = 2**20
VOLUME_LABEL, FOLDER, LONG_NAME = 0x08, 0x10, 0x0F


@dataclass(frozen=True)
class Fat:
    """A FAT filesystem. Places and sizes in bytes, clusters in number."""

    pread: Pread
    bits: int
    cluster_size: int
    clusters: int
    table: int
    root: int  # of FAT12 and FAT16: where the root folder is
    root_size: int
    root_cluster: int  # of FAT32: its first cluster
    data: int
    serial: str
    label: str


def is_fat(head: bytes) -> bool:
    """True if `head`, a partition's first sector, begins a FAT filesystem."""
    return head[510:512] == b"\x55\xaa" and (head[54:57] == b"FAT" or head[82:87] == b"FAT32")


def read_fat(pread: Pread, size: int) -> Fat:
    """The FAT filesystem in `size` bytes. Raises InvalidInputError if its boot sector contradicts itself."""
    head = pread(0, 512)
    sector, per_cluster, reserved, tables, roots, small, _, table16 = struct.unpack_from("<HBHBHHBH", head, 11)
    large, table32 = struct.unpack_from("<II", head, 32)
    sectors, table_sectors = small or large, table16 or table32
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not tables or not reserved or not table_sectors:
        raise InvalidInputError("The FAT boot sector is not sound.")
    root_sectors = -(-roots * 32 // sector)
    first = reserved + tables * table_sectors + root_sectors
    clusters = (sectors - first) // per_cluster
    if sectors * sector > size or not 0 < clusters < CLUSTERS_32:
        raise InvalidInputError(f"The FAT filesystem says it is larger than its {size} bytes, or has no room at all.")
    bits = 32 if not table16 else 16 if clusters >= CLUSTERS_16 else 12
    if table_sectors * sector * 8 < (clusters + 2) * bits:
        raise InvalidInputError("The FAT is too short for its clusters.")
    identity = head[67:82] if bits == 32 else head[39:54]  # a serial number and a label
    return Fat(
        pread=pread,
        bits=bits,
        cluster_size=per_cluster * sector,
        clusters=clusters,
        table=reserved * sector,
        root=(first - root_sectors) * sector,
        root_size=root_sectors * sector,
        root_cluster=int.from_bytes(head[44:48], "little"),
        data=first * sector,
        serial=f"{identity[3]:02X}{identity[2]:02X}-{identity[1]:02X}{identity[0]:02X}",
        label=identity[4:].decode("ascii", errors="replace").strip(),
    )


def free_bytes(fat: Fat) -> int:
    """What is free: the table's entries that are 0."""
    free, first = 0, 2
    step = CHUNK * 8 // fat.bits // 2 * 2  # entries; an even number, for two of FAT12 share a byte
    while first < fat.clusters + 2:
        count = min(step, fat.clusters + 2 - first)
        free += sum(not entry for entry in _table(fat, first, count))
        first += count
    return free * fat.cluster_size


def _table(fat: Fat, first: int, count: int) -> Iterable[int]:
    """`count` entries of the table from the even one `first` on."""
    raw = fat.pread(fat.table + first * fat.bits // 8, -(-count * fat.bits // 8))
    if fat.bits == 12:
        pairs = raw + bytes(-len(raw) % 3)
        both = (int.from_bytes(pairs[place : place + 3], "little") for place in range(0, len(pairs), 3))
        return [entry for pair in both for entry in (pair & 0xFFF, pair >> 12)][:count]
    if fat.bits == 16:
        return struct.unpack(f"<{count}H", raw)
    return [entry & 0x0FFFFFFF for entry in struct.unpack(f"<{count}I", raw)]


def names(fat: Fat, *path: str) -> tuple[str, ...]:
    """What is in the folder `path`, whose parts are compared as FAT does; nothing if there is none."""
    folder = _root(fat)
    for part in path:
        inside = [cluster for name, is_folder, cluster in folder if is_folder and name.lower() == part.lower()]
        if not inside:
            return ()
        folder = list(_entries(_chain(fat, inside[0])))
    return tuple(name for name, _, _ in folder)


def _root(fat: Fat) -> list[tuple[str, bool, int]]:
    raw = (
        _chain(fat, fat.root_cluster) if fat.bits == 32 else fat.pread(fat.root, min(fat.root_size, 32 * MOST_ENTRIES))
    )
    return list(_entries(raw))


def _chain(fat: Fat, cluster: int) -> bytes:
    """The content of a folder; what goes beyond `MOST_ENTRIES` is left out."""
    raw = b""
    while 2 <= cluster < fat.clusters + 2 and len(raw) < 32 * MOST_ENTRIES:
        raw += fat.pread(fat.data + (cluster - 2) * fat.cluster_size, min(fat.cluster_size, 32 * MOST_ENTRIES))
        even = cluster // 2 * 2
        cluster = [*_table(fat, even, 2)][cluster - even]
    return raw


def _entries(raw: bytes) -> Iterator[tuple[str, bool, int]]:
    """(name, whether it is a folder, first cluster) of a folder's entries."""
    long = b""
    for place in range(0, len(raw) - 31, 32):
        entry = raw[place : place + 32]
        if not entry[0]:
            return
        if entry[11] == LONG_NAME:
            long = entry[1:11] + entry[14:26] + entry[28:32] + long  # its last part comes first
            continue
        if entry[0] != 0xE5 and not entry[11] & VOLUME_LABEL and entry[0] != ord("."):
            name = long.decode("utf-16-le", errors="replace").split("\0")[0] if long else _short(entry)
            cluster = int.from_bytes(entry[26:28], "little") + (int.from_bytes(entry[20:22], "little") << 16)
            yield name, bool(entry[11] & FOLDER), cluster
        long = b""


def _short(entry: bytes) -> str:
    stem, suffix = (part.decode("ascii", errors="replace").strip().lower() for part in (entry[:8], entry[8:11]))
    return f"{stem}.{suffix}" if suffix else stem
