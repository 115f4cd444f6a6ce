"""Sound files for each target, as small as can be: a fuzzer learns little from zeros."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import zstandard

from tests.disks.conftest import sh
from tests.disks.hostile.seeds import pax, tar
from tests.disks.virtualbox import AT_END, ENTRIES, marker

SECTOR, GRAIN = 512, 4096
TEXT = """# Disk DescriptorFile
version=1
CID=6f0ac311
parentCID=ffffffff
createType="{kind}"
RW {sectors} {extent}
ddb.adapterType="ide"
"""
CONTENT = b"some content " * 79


def vmdk_text(kind: str, sectors: int, extent: str = 'SPARSE "disk"') -> bytes:
    return TEXT.format(kind=kind, sectors=sectors, extent=extent).encode()


def padded(whole: bytes, size: int = SECTOR) -> bytes:
    return whole + bytes(-len(whole) % size)


def table(*entries: int) -> bytes:
    return struct.pack(f"<{len(entries)}I", *entries).ljust(ENTRIES * 4, b"\0")


def front(kind: str, sectors: int, directory: int, overhead: int, flags: int) -> bytes:
    """A VMDK's header and its descriptor, of a sector each."""
    text = vmdk_text(kind, sectors)
    numbers = (b"KDMV", 3, flags, sectors, 8, 1, 1, ENTRIES, 0, directory, overhead, 0, b"\n \r\n", flags >> 16 & 1)
    return padded(struct.pack("<4sII4QI3QB4sH", *numbers)) + padded(text)


def vmdk_sparse() -> bytes:
    head = front("monolithicSparse", 50, 2, 7, 3)
    return head + padded(struct.pack("<I", 3)) + table(15, 0, 7) + padded(CONTENT, GRAIN) + bytes(range(256)) * 16


def grains(*numbers: int) -> tuple[bytes, dict[int, int]]:
    """Packed grains from sector 2 on, and the sector of each."""
    whole, places = b"", dict[int, int]()
    for number in numbers:
        places[number] = 2 + len(whole) // SECTOR
        packed = zlib.compress(padded(CONTENT, GRAIN))
        whole += padded(struct.pack("<QI", number * 8, len(packed)) + packed)
    return whole, places


def vmdk_export() -> bytes:
    """As VirtualBox writes it: what tells of the grains is behind them."""
    whole, places = grains(0, 3)
    body = front("streamOptimized", 50, AT_END, 2, 0x30001) + whole
    place = len(body) // SECTOR + 1
    body += marker(4, 1) + table(places[0], 0, 0, places[3]) + marker(1, 2) + padded(struct.pack("<I", place))
    end = front("streamOptimized", 50, place + 5, 2, 0x30001)[:SECTOR]
    return body + marker(1, 3) + end + marker(0, 0)


def vmdk_stream() -> bytes:
    """As qemu-img writes it: what tells of the grains is before them."""
    whole, places = grains(0, 3)
    entries = [places.get(number, 0) + 5 if number in places else 0 for number in range(4)]
    tables = padded(struct.pack("<I", 3)) + table(*entries)
    return front("streamOptimized", 50, 2, 7, 0x30001) + tables + whole + marker(0, 0)


def vdi(extra: int = 0) -> bytes:
    numbers = (b"\x7f\x10\xda\xbe", 0x10001, 400, 1, 0, b"", SECTOR, 1024, 0, 0, 0, SECTOR, 0, 20000, 4096, extra)
    head = struct.pack("<4sIIII256sIIIIIIIQII", *numbers) + struct.pack("<II", 5, 3) + b"\x11" * 32
    blocks = struct.pack("<5I", 2, 0xFFFFFFFF, 0, 1, 0xFFFFFFFE)
    return padded(bytes(64) + head) + padded(blocks) + b"".join((bytes(extra) + bytes([n]) * 4096) for n in (1, 2, 3))


def qcow2(*options: str, packed: bool = False) -> bytes:
    with TemporaryDirectory() as name:
        raw, made = Path(name) / "raw", Path(name) / "made"
        raw.write_bytes(padded(CONTENT) + bytes(20000) + padded(CONTENT) + bytes(11 * SECTOR))
        raw.write_bytes(padded(raw.read_bytes()))
        packs = ["-c"] if packed else []
        chosen = ",".join(["cluster_size=512", *options])
        sh("qemu-img", "convert", *packs, "-f", "raw", "-O", "qcow2", "-o", chosen, raw, made)
        return made.read_bytes()


def by_tarfile(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, whole in (("box.ovf", b"<x/>"), ("long/" * 50 + "disk.vmdk", vmdk_export())):
            member = tarfile.TarInfo(name)
            member.size = len(whole)
            archive.addfile(member, io.BytesIO(whole))
    return out.getvalue()


def archives() -> list[bytes]:
    forms = [by_tarfile(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT) if form]
    said = pax(size=str(len(vdi()))) + tar(("disk", vdi()))
    return [*forms, tar(("disk", vmdk_sparse())), tar(("disk", vdi()), ("x", b"y")), said, qcow2(), vdi()]


def raw(label: str, lines: str) -> bytes:
    with TemporaryDirectory() as name:
        disk = Path(name) / "disk"
        disk.write_bytes(bytes(300 * SECTOR))
        sh("sfdisk", "--quiet", "--label", label, disk, stdin=lines)
        return disk.read_bytes()


def partitioned() -> list[bytes]:
    plain = "start=10, size=100, type=83, bootable\n"
    extended = "start=10, size=20, type=83\nstart=40, size=200, type=5\nstart=45, size=20, type=83\nstart=70, size=9\n"
    return [raw("dos", plain), raw("dos", extended), raw("gpt", "start=50, size=9\n")]


def ext(*options: str) -> bytes:
    with TemporaryDirectory() as name:
        folder, disk = Path(name) / "folder", Path(name) / "disk"
        (folder / "etc/deep/deeper").mkdir(parents=True)
        (folder / "etc/os-release").write_text("ID=debian\n")
        (folder / "etc/deep/deeper/file").write_bytes(CONTENT * 3)
        (folder / "link").symlink_to("etc/deep/deeper/file")
        (folder / "etc/far").symlink_to("/" + "deep/../" * 9 + "os-release")
        disk.write_bytes(bytes(2**16))
        plain = ["-q", "-b", "1024", "-N", "32", "-O", "^has_journal,^resize_inode"]
        sh("mkfs.ext4", *plain, *options, "-d", folder, disk, "64")
        return disk.read_bytes()


def filesystems() -> list[bytes]:
    swap = bytes(1028) + struct.pack("<I", 9) + bytes(4096 - 10 - 1032) + b"SWAPSPACE2"
    xfs = b"XFSB" + struct.pack(">IQ", 4096, 900) + bytes(500)
    luks = b"LUKS\xba\xbe\x00\x02" + bytes(600)
    btrfs = bytes(2**16 - 1024) + bytes(1024 + 64) + b"_BHRfS_M" + bytes(900)
    return [ext(), swap, xfs, luks, btrfs, *fats()]


def fats() -> list[bytes]:
    return [fat(12, 40), fat(16, 4200), fat(32, 400)]


def fat(bits: int, sectors: int) -> bytes:
    """A FAT filesystem with a file in a folder; what is not in use at its end is left out."""
    per_table = -(-(sectors + 2) * bits // 8 // SECTOR)
    old = bits < 32
    head = struct.pack("<HBHBHHBH", SECTOR, 1, 1, 1, 16 * old, sectors, 0xF8, per_table * old)
    head = bytes(11) + head + bytes(8) + struct.pack("<IIHHI", 0, per_table, 0, 0, 2)
    head = head.ljust(54, b"\0") + (b"FAT16   " if old else bytes(28) + b"FAT32   ")
    ends = {12: b"\xff" * 9, 16: b"\xff" * 12, 32: b"\xff\xff\xff\x0f" * 6}[bits]
    folder = struct.pack("<11sB8xHIHI", b"EFI        ", 0x10, 0, 0, 3, 0)
    file = struct.pack("<11sB8xHIHI", b"GRUB    EFI", 0x20, 0, 0, 4, 9)
    whole = head.ljust(510, b"\0") + b"\x55\xaa" + ends.ljust(per_table * SECTOR, b"\0") + padded(folder)
    return whole + (bytes(SECTOR) if old else b"") + padded(file) + padded(b"some boot")


def lvm() -> bytes:
    from provision.disks.inside.lvm import checksum

    text = (
        b'vg {\nid = "a"\nseqno = 1\nformat = "lvm2"\nstatus = ["RESIZEABLE", "READ", "WRITE"]\nflags = []\n'
        b'extent_size = 8\nmax_lv = 0\nmax_pv = 0\nphysical_volumes {\npv0 {\nid = "'
        + b"u"
        * 32
        + b'"\ndevice = "/dev/x"\n'
        b'status = ["ALLOCATABLE"]\nflags = []\ndev_size = 200\npe_start = 16\npe_count = 9\n}\n}\n'
        b'logical_volumes {\nroot {\nid = "c"\nstatus = ["READ", "WRITE", "VISIBLE"]\nflags = []\nsegment_count = 1\n'
        b'segment1 {\nstart_extent = 0\nextent_count = 3\ntype = "striped"\nstripe_count = 1\n'
        b'stripes = [\n"pv0", 2\n]\n}\n}\n}\n}\ncontents = "Text Format Volume Group"\nversion = 1\n\0'
    )
    area = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, 4096, 4096)
    area += struct.pack("<QQII", 512, len(text), checksum(text), 0)
    area = area.ljust(508, b"\0")
    area = struct.pack("<I", checksum(area)) + area
    place = b"u" * 32 + struct.pack("<Q", 102400) + struct.pack("<6Q", 8192, 0, 0, 0, 4096, 4096) + bytes(16)
    label = struct.pack("<I8s", 32, b"LVM2 001") + place
    label = label.ljust(492, b"\0")
    label = b"LABELONE" + struct.pack("<QI", 1, checksum(label)) + label
    return (bytes(SECTOR) + label).ljust(4096, b"\0") + (area + text).ljust(4096, b"\0") + bytes(60000)


def cpio(*names: str) -> bytes:
    whole = b""
    for name in (*names, "TRAILER!!!"):
        size = 0 if name.startswith("TRAILER") else 5
        head = b"070701" + b"".join(b"%08x" % n for n in (1, 33188, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0))
        whole += padded(head + name.encode() + b"\0", 4) + (b"hello\0\0\0" if size else b"")
    return padded(whole)


def initrds() -> list[bytes]:
    first, main = cpio("kernel/x86/microcode"), cpio("lib/modules/6/virtio_blk.ko.xz", "init", "lib/virtio-net.ko")
    packings = (gzip.compress, lzma.compress, bz2.compress, zstandard.compress, lambda whole: whole)
    lzma_alone = lzma.compress(main, lzma.FORMAT_ALONE)
    return [*(first + packing(main) for packing in packings), first + lzma_alone]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "vmdk": lambda: [vmdk_sparse(), vmdk_export(), vmdk_stream()],
    "conversion": lambda: [vmdk_sparse(), vmdk_export(), vmdk_stream(), vdi(512), qcow2(), qcow2(packed=True)],
    "vdi": lambda: [vdi(), vdi(512)],
    "qcow2": lambda: [qcow2(), qcow2("compat=0.10"), qcow2(packed=True), qcow2("compression_type=zstd", packed=True)],
    "descriptor": lambda: [
        vmdk_text("monolithicFlat", 50, 'FLAT "data" 0'),
        vmdk_text("twoGbMaxExtentSparse", 50) + b'RW 9 ZERO\nRDONLY 9 SPARSE "b"\n',
    ],
    "archive": archives,
    "gzip": lambda: [gzip.compress(whole, 1)[2:] for whole in archives()[:5]],
    "partitions": partitioned,
    "filesystem": filesystems,
    "ext4": lambda: [
        ext(),
        ext("-O", "^extents,^64bit"),
        ext("-O", "meta_bg,inline_data", "-I", "256"),
    ],
    "fat": fats,
    "lvm": lambda: [lvm()],
    "initrd": initrds,
}
