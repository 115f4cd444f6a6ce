"""Who runs against whom, and what we claim of it."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple

from measure import MIB, Contestant, Measured, measure, remove
from samples import MEMBER, START, Sample

PROVISION = Path(sys.executable).with_name("provision")
BLOCK = 4096  # bytes: ext4's
LARGE = ", large disk"  # what the name of a contestant ends in that converts the larger disk

Results = Mapping[str, Measured]


class Claim(NamedTuple):
    """`value` of the results is to be at most, or at least, `bound`."""

    text: str
    value: Callable[[Results], float]
    sign: Literal["<=", ">="]
    bound: float

    def holds(self, results: Results) -> bool:
        """Whether the claim is true."""
        value = self.value(results)
        return value <= self.bound if self.sign == "<=" else value >= self.bound


@dataclass(frozen=True)
class Race:
    """Commands that run in turns, and what is claimed of them."""

    title: str
    contestants: Sequence[Contestant]
    claims: Sequence[Claim] = ()


def cost(name: str, what: str, unit: float = 1) -> Callable[[Results], float]:
    """What contestant `name` took of `what` (a field of Measured), in units of `unit`."""
    return lambda found: float(getattr(found[name], what)) / unit


def ratio(name: str, other: str, what: str) -> Callable[[Results], float]:
    """What `name` took of `what`, as a share of what `other` took."""
    return lambda found: cost(name, what)(found) / cost(other, what)(found)


def speed(name: str, other: str, bound: float) -> Claim:
    """`name` is at least `bound` times as quick as `other`."""
    return Claim(f"speed of {name}: times {other}", ratio(other, name, "wall"), ">=", bound)


def effort(name: str, other: str, bound: float) -> Claim:
    """`name` takes at most `bound` of the CPU seconds of `other`."""
    return Claim(f"CPU of {name}: share of {other}", ratio(name, other, "cpu"), "<=", bound)


def memory(name: str) -> Claim:
    """`name` has at most 64 MiB of its own."""
    return Claim(f"anonymous MiB of {name}", cost(name, "anonymous", MIB), "<=", 64)


def general(*names: str) -> list[Claim]:
    """What is claimed of every conversion: its memory, and that a larger disk with the same data costs the same."""
    return [
        claim
        for name in names
        for claim in (
            memory(name),
            memory(name + LARGE),
            Claim(f"wall of {name}{LARGE}: times the small one's", ratio(name + LARGE, name, "wall"), "<=", 1.1),
            Claim(f"CPU of {name}{LARGE}: times the small one's", ratio(name + LARGE, name, "cpu"), "<=", 1.1),
        )
    ]


def convert(name: str, source: Path, target: Path, *options: str, equals: Path | None = None) -> Contestant:
    """A conversion by us."""
    return Contestant(name, [PROVISION, "image", "convert", *options, source, target], source, [target], equals)


def qemu(name: str, source: Path, target: Path, *options: str) -> Contestant:
    """A conversion of a VMDK by qemu-img."""
    return Contestant(name, ["qemu-img", "convert", "-f", "vmdk", *options, source, target], source, [target])


def _q(path: Path) -> str:
    return quote(str(path))


def box_to_qcow2(work: Path, small: Sample, large: Sample) -> Race:
    """Wrapping, against a plain copy and against qemu-img."""
    out, wrapped, unverified = work / "out.qcow2", "wrapped", "wrapped unverified"
    zstd = "qemu-img -c zstd"
    return Race(
        ".box to compressed qcow2",
        [
            convert(wrapped, small.box, out, equals=small.raw),
            convert(unverified, small.box, out, "--no-verify"),
            Contestant("cp of the VMDK", ["cp", small.vmdk, work / "copy.vmdk"], small.vmdk, [work / "copy.vmdk"]),
            convert(wrapped + LARGE, large.box, out, equals=large.raw),
            convert(unverified + LARGE, large.box, out, "--no-verify"),
            qemu(zstd, small.vmdk, out, "-O", "qcow2", "-c", "-o", "compression_type=zstd"),
        ],
        [
            speed(unverified, "cp of the VMDK", 0.8),
            speed(wrapped, "cp of the VMDK", 0.8),
            effort(unverified, zstd, 1 / 15),
            effort(wrapped, zstd, 1 / 15),
            *general(wrapped, unverified),
        ],
    )


def box_to_raw(work: Path, small: Sample, large: Sample) -> Race:
    """Inflating to a sparse file."""
    out, ours, alone, both = work / "out.raw", "raw", "qemu-img of the VMDK", "tar x and qemu-img"
    vmdk = work / MEMBER
    script = f"tar xf {_q(small.box)} -C {_q(work)} {MEMBER} && qemu-img convert -f vmdk -O raw {_q(vmdk)} {_q(out)}"
    return Race(
        ".box to sparse raw",
        [
            convert(ours, small.box, out, "--format", "raw", equals=small.raw),
            qemu(alone, small.vmdk, out, "-O", "raw"),
            Contestant(both, ["sh", "-c", script], small.box, [out, vmdk]),
            convert(ours + LARGE, large.box, out, "--format", "raw", equals=large.raw),
        ],
        [speed(ours, alone, 3.5), speed(ours, both, 3.5), effort(ours, alone, 0.42), *general(ours)],
    )


def stored_to_raw(work: Path, small: Sample, large: Sample) -> Race:
    """What is stored as it is, against dd of as many bytes as the disk has data."""
    out, copied = work / "out.raw", work / "dd.raw"
    data = small.raw.stat().st_blocks * 512
    # By so large blocks as 1 MiB dd is no quicker everywhere: the kernel must find memory in one piece for each.
    contestants = [
        Contestant(
            f"dd bs={size >> 10}k",
            ["dd", f"if={small.vdi}", f"of={copied}", f"bs={size}", f"count={data // size}"],
            small.vdi,
            [copied],
        )
        for size in (2**20, 2**16)
    ]
    for end, disk in (("", small), (LARGE, large)):
        for name, source in (("vdi", disk.vdi), ("monolithicSparse", disk.sparse)):
            contestants.append(convert(name + end, source, out, "--format", "raw", equals=disk.raw))
    return Race(
        ".vdi and monolithicSparse to sparse raw",
        contestants,
        [
            *(speed(name, dd.name, 0.9) for name in ("vdi", "monolithicSparse") for dd in contestants[:2]),
            *general("vdi", "monolithicSparse"),
        ],
    )


def gz_to_qcow2(work: Path, small: Sample, large: Sample) -> Race:
    """A gzipped box."""
    out, ours, usual = work / "out.qcow2", "wrapped", "gunzip, tar and qemu-img -c"
    vmdk = work / MEMBER
    unpack = f"gunzip -c {_q(small.box_gz)} | tar xf - -C {_q(work)} {MEMBER}"
    script = f"{unpack} && qemu-img convert -f vmdk -O qcow2 -c {_q(vmdk)} {_q(out)}"
    return Race(
        ".box.gz to compressed qcow2",
        [
            convert(ours, small.box_gz, out, equals=small.raw),
            convert(ours + LARGE, large.box_gz, out, equals=large.raw),
            Contestant(usual, ["sh", "-c", script], small.box_gz, [out, vmdk]),
        ],
        [speed(ours, usual, 5), *general(ours)],
    )


def shared_to_raw(folder: Path, small: Sample) -> Race:
    """The same where the file system can share blocks: source and target lie in `folder`."""
    sources = {"vdi": folder / small.vdi.name, "monolithicSparse": folder / small.sparse.name}
    return Race(
        ".vdi and monolithicSparse to sparse raw on XFS",
        [
            convert(name, source, folder / "out.raw", "--format", "raw", equals=small.raw)
            for name, source in sources.items()
        ],
        [Claim(f"seconds of {name}", cost(name, "wall"), "<=", 0.3) for name in sources],
    )


def upload(small: Sample, environment: Mapping[str, str], bodies: Sequence[int]) -> Race:
    """A whole upload to a cloud that keeps nothing; `bodies` are the lengths of what it got."""
    name = "upload"
    contestants = [
        Contestant(end, [PROVISION, "image", "upload", source, "bench"], source, environment=environment)
        for end, source in ((f"{name} of .box.gz", small.box_gz), (name, small.box))
    ]
    return Race(
        "Upload to an image service that keeps nothing",
        contestants,
        [
            Claim("bytes sent: times the VMDK's", lambda _: bodies[-1] / small.vmdk.stat().st_size, "<=", 1.005),
            *(Claim(f"MiB written by {each.name}", cost(each.name, "written", MIB), "<=", 0.1) for each in contestants),
            *(memory(each.name) for each in contestants),
        ],
    )


def shrink(work: Path, small: Sample) -> Race:
    """Shrinking, against the conversion that it begins with, and against what it must move."""
    out, kept, whole, shrunk = work / "out.raw", work / "kept.raw", "convert", "shrink"
    command: list[str | Path] = [PROVISION, "image", "shrink", "--format", "raw", small.vdi]
    measure([*command, kept])
    moved = beyond(small.raw, kept.stat().st_size - START)
    remove([kept])
    return Race(
        f".vdi to the smallest raw ({moved / MIB:.0f} MiB of data lie beyond its end, and move)",
        [
            convert(whole, small.vdi, out, "--format", "raw"),
            Contestant(shrunk, [*command, out], small.vdi, [out]),
        ],
        [
            Claim(
                "bytes written by the shrink itself: times what moves",
                lambda found: (found[shrunk].written - found[whole].written) / moved,
                "<=",
                1.25,
            )
        ],
    )


def beyond(raw: Path, end: int) -> int:
    """How many bytes of data the ext4 in `raw` has from its byte `end` on: what a shrink must move.

    The groups' own tables, which go with them, are not among these.
    """
    said = subprocess.run(["dumpe2fs", f"{raw}?offset={START}"], check=True, capture_output=True, text=True).stdout
    tables = int(re.search(r"Inode blocks per group: +(\d+)", said)[1]) + 2  # and two bitmaps
    blocks = 0
    for first, last, rest in re.findall(r"^Group \d+: \(Blocks (\d+)-(\d+)\)(.*?)(?=^Group|\Z)", said, re.M | re.S):
        if int(first) * BLOCK < end:
            continue
        backups = re.findall(r"(?:Group descriptors|Reserved GDT blocks) at (\d+)-(\d+)", rest)
        kept = tables + ("Backup superblock" in rest) + sum(int(to) - int(at) + 1 for at, to in backups)
        blocks += int(last) - int(first) + 1 - int(re.search(r"(\d+) free blocks", rest)[1]) - kept
    return blocks * BLOCK


def start() -> Race:
    """How long Python and the command line take before anything is done."""
    command: list[str | Path] = [PROVISION, "image", "convert", "--help"]
    return Race("Start-up, which is in every row of ours", [Contestant("--help", command)])
