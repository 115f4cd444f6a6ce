"""Hostile tars and gzip files, and files that are no disk at all."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

from tests.disks.hostile.seeds import Make, edited, file, header, padded, pax, seed, summed, tar, zipped

STREAM = "vmdk-stream-virtualbox"
HEAD = ("box.ovf", b"<x/>")


def disk() -> bytes:
    return seed(STREAM)


def box(*before: bytes, name: str = "disk.vmdk", after: tuple[bytes, ...] = ()) -> Make:
    """A tar of the disk, and of what is before and behind it."""
    return file(lambda: b"".join([*before, tar((name, disk()))[:-1024], *after, bytes(1024)]))


def special(kind: bytes) -> Make:
    return box(header("some", 0, kind))


def damaged() -> bytes:
    whole = bytearray(header("second"))
    whole[5] ^= 1
    return bytes(whole)


def wrong_number() -> bytes:
    block = bytearray(header("x"))
    block[124:136] = b"99999999999\0"
    return summed(block)


def long_names(count: int) -> bytes:
    return (header("@", 512, b"L") + b"a".ljust(512, b"\0")) * count


def sums(whole: bytes) -> bytes:
    """The same gzip file with another checksum."""
    return whole[:-8] + struct.pack("<I", 7) + whole[-4:]


def members(count: int) -> bytes:
    """A gzip file of tiny members, which hold a tar that goes on and on."""
    return zipped(header("x", 2**40)) + zipped(b"") * count


def inflating() -> bytes:
    """A gzip file of 2 MB: the header of a tar, and 2 GiB of zeros."""
    return zipped(header("disk.vmdk", 2**40)) + gzip.compress(bytes(2**24)) * 128


TARS: dict[str, tuple[Make, str]] = {
    "absolute": (box(name="/etc/cron.d/disk.vmdk"), "points outside"),
    "parent": (box(name="../disk.vmdk"), "points outside"),
    "parent within": (box(name="a/../../disk.vmdk"), "points outside"),
    "parent in a long name": (box(pax(path="../" * 300 + "disk.vmdk")), "points outside"),
    "symbolic link": (special(b"2"), "no ordinary file"),
    "hard link": (special(b"1"), "no ordinary file"),
    "character device": (special(b"3"), "no ordinary file"),
    "block device": (special(b"4"), "no ordinary file"),
    "pipe": (special(b"6"), "no ordinary file"),
    "unknown type": (special(b"Z"), "no ordinary file"),
    "GNU sparse": (special(b"S"), "no ordinary file"),
    "pax sparse 0.0": (box(pax(GNU__sparse__size="9", GNU__sparse__numblocks="1")), "sparse"),
    "pax sparse 0.1": (box(pax(GNU__sparse__map="0,1,9,1")), "sparse"),
    "pax sparse 1.0": (box(pax(GNU__sparse__major="1", GNU__sparse__minor="0")), "sparse"),
    "pax giant size": (box(pax(size=str(2**70))), "impossible size"),
    "pax size of the whole tar": (box(pax(size=str(2**62))), "is cut off"),
    "pax negative size": (box(pax(size="-1")), "impossible size"),
    "pax size in letters": (box(pax(size="1e3")), "impossible size"),
    "pax record of length 0": (box(header("pax", 9, b"x") + padded(b"0 path=x\n")), "no sound tar header"),
    "pax record too long": (box(header("pax", 11, b"x") + padded(b"999 path=x\n")), "no sound tar header"),
    "pax without an end": (box(header("pax", 10, b"x") + padded(b"10 path=xx")), "no sound tar header"),
    "pax header huge": (box(header("pax", 2**40, b"x")), "has a header of"),
    "negative size": (box(header("x", -1)), "impossible size"),
    "very negative size": (box(header("x", -(2**40))), "impossible size"),
    "back to itself": (box(header("x", -512)), "impossible size"),
    "size 2^63": (box(header("x", 2**63)), "impossible size"),
    "size beyond the file": (box(header("x", 2**50)), "is cut off"),
    "no number": (box(wrong_number()), "no sound tar header"),
    "bad sum": (box(after=(damaged(),)), "no sound tar header"),
    "garbage behind the disk": (box(after=(b"garbage " * 64,)), "no sound tar header"),
    "duplicate": (box(after=(header("disk.vmdk"),)), "there twice"),
    "duplicate in other words": (box(after=(header("./disk.vmdk"),)), "there twice"),
    "two disks": (file(lambda: tar(("a.vmdk", disk()), ("b.vmdk", disk()))), "more than one disk"),
    "no disk": (file(tar(HEAD, ("Vagrantfile", b"x"))), "holds no disk"),
    "a name that a terminal obeys": (file(tar(("\x1b[2J\n\r" * 9, b"x"))), r"only \?\[2J"),
    "nothing": (file(tar(("x/", b""))), "holds no disk"),
    "10,000 members": (file(lambda: tar(*((f"{n}", b"") for n in range(10_000)))), "more than 1000"),
    "10,000 names of one": (file(lambda: long_names(10_000) + tar(("x", b""))), "holds no disk"),
    "a long name too long": (
        box(header("@", 9000, b"L") + b"a" * 9000 + bytes(216)),
        "no possible name",
    ),
    "a long name huge": (box(header("@", 2**33, b"L")), "has a header of"),
    "a name of NULs": (box(pax(path="a\0b")), "no possible name"),
    "cut in a header": (file(lambda: tar(("disk.vmdk", disk()))[: -1024 - 512] + header("x")[:300]), "byte"),
    "cut in the disk": (file(lambda: tar(("disk.vmdk", disk()))[:40000]), "is cut off"),
    "cut in what follows": (file(lambda: tar(("disk.vmdk", disk()))[:-1024] + header("x", 9000)), "is cut off"),
}
GZIPS: dict[str, tuple[Make, str]] = {
    "cut in the header": (file(lambda: zipped(tar(("d", disk())))[:30]), "is cut off|byte"),
    "cut in the disk": (file(lambda: zipped(tar(("d", disk())))[:10000]), "is cut off at byte 10000"),
    "cut in the checksum": (file(lambda: zipped(tar(("d", disk())))[:-3]), "is cut off at byte"),
    "a tar cut in the disk": (file(lambda: zipped(tar(("d", disk()))[:60000])), "is cut off"),
    "a tar cut in what follows": (file(lambda: zipped(tar(("d", disk()))[:-1024] + header("x", 9000))), "is cut off"),
    "wrong checksum": (file(lambda: sums(zipped(tar(("d", disk()))))), "damaged near byte .*check"),
    "flipped bits": (file(lambda: flipped(zipped(tar(("d", disk()))))), "byte"),
    "garbage behind": (file(lambda: zipped(tar(("d", disk()))) + b"garbage"), "behind its end at byte"),
    "in gzip": (file(lambda: gzip.compress(gzip.compress(tar(("d", disk()))))), "gzipped, but no box"),
    "of a disk": (file(lambda: zipped(disk())), "gzipped, but no box"),
    "of nothing": (file(lambda: gzip.compress(b"")), "byte"),
    "of a disk in a box": (file(lambda: tar(("disk.vmdk.gz", gzip.compress(disk())))), "holds no disk"),
    "many MiB of zeros": (file(lambda: zipped(bytes(2**26))), "gzipped, but no box"),
    "bomb": (file(inflating), "inflates to more than 200 times its size .* byte"),
    "200,000 members": (file(lambda: members(200_000)), "byte"),
    "no deflate": (file(b"\x1f\x8b\x08\x00" + b"garbage " * 9), "damaged near byte"),
    "two disks": (file(lambda: zipped(tar(("a", disk()), ("b", disk())))), "more than one disk"),
    "a link behind the disk": (
        file(lambda: zipped(tar(("a", disk()))[:-1024] + header("b", 0, b"2") + bytes(1024))),
        "no ordinary file",
    ),
}


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes(byte ^ 0x55 for byte in whole[middle : middle + 9]) + whole[middle + 9 :]


def folder_in(folder: Path) -> Path:
    (folder / "disk").mkdir()
    return folder / "disk"


def made(make: Callable[[Path], object]) -> Make:
    def path(folder: Path) -> Path:
        make(folder / "disk")
        return folder / "disk"

    return path


FILES: dict[str, tuple[Make, str]] = {
    "empty": (file(b""), "no disk that we know"),
    "one byte": (file(b"K"), "no disk that we know"),
    "text": (file(b"hello\n" * 999), "no disk that we know"),
    "zeros": (file(bytes(99999)), "no disk that we know"),
    "raw of no whole sectors": (edited("raw", cut=2**20 + 7), "no multiple of 512"),
    "a raw disk of 2^62 bytes": (
        file(lambda: zipped(pax(size=str(2**62)) + header("box.img") + bytes(510) + b"\x55\xaa")),
        "more than a disk's",
    ),
    "a folder": (made(lambda path: path.mkdir()), "no ordinary file"),
    "a pipe": (made(os.mkfifo), "no ordinary file"),
    "not there": (lambda folder: folder / "nowhere", "There is no file"),
    "a name too long": (lambda folder: folder / ("x" * 300), "cannot be read"),
    "below a file": (lambda folder: file(b"")(folder) / "x", "cannot be read"),
    "a link to itself": (made(lambda path: path.symlink_to("disk")), "cannot be read"),
    "/dev/zero": (lambda _: Path("/dev/zero"), "no ordinary file"),
}
