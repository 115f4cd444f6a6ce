"""The ext4 reader against mkfs.ext4, e2fsck and debugfs: what they wrote, it reads; what is broken, it refuses."""

import contextlib
import hashlib
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.disks.inside.ext4 import Ext4, inode_table, read_ext4
from provision.disks.inside.ext4_tree import Tree
from provision.disks.window import opened_file
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh

# What mkfs.ext4 is told: each changes how the files are found.
KINDS = {
    "ext4": [],
    "ext4 with 1k blocks": ["-b", "1024"],
    "ext4 without 64bit": ["-O", "^64bit"],
    "ext4 with inline data": ["-O", "inline_data", "-I", "256"],
    "ext4 with large inodes and inline data": ["-O", "inline_data", "-I", "1024"],
    "ext4 with meta_bg": ["-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "1024"],
    "ext4 with meta_bg and sparse_super2": ["-O", "meta_bg,sparse_super2,^resize_inode", "-b", "1024", "-g", "1024"],
    "ext4 with sparse_super2": ["-O", "sparse_super2,^resize_inode", "-b", "1024", "-g", "2048"],
    "ext4 with bigalloc": ["-O", "bigalloc"],
    "ext4 without checksums": ["-O", "^metadata_csum"],
    "ext4 with 64k blocks": ["-b", "65536", "-N", "4096"],
    "ext4 with 64k blocks and no checksums": ["-b", "65536", "-N", "4096", "-O", "^metadata_csum"],
    "ext3": ["-t", "ext3"],
    "ext2 with 1k blocks": ["-t", "ext2", "-b", "1024"],
    "ext2 with small inodes": ["-t", "ext2", "-I", "128"],
    "ext2 of revision 0": ["-t", "ext2", "-r", "0", "-b", "1024"],
}
LINKS = {
    "to-file": "folder/inside",
    "absolute": "/folder/inside",
    "up": "../../../folder/../folder/inside",
    "of-60-bytes": "folder/" + "./" * 23 + "inside",
    "long": "folder/" + "./" * 400 + "inside",
    "through-link": "absolute",
    "folder-link/inside": "",
}


def content(name: str, size: int) -> bytes:
    return hashlib.shake_128(name.encode()).digest(size)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of all sorts: tiny, large, with holes, in a crowd, behind links."""
    root = tmp_path_factory.mktemp("files")
    for folder in ("folder", "crowd", "few"):
        (root / folder).mkdir()
    for size in (0, 1, 59, 60, 61, 150, 200, 1024, 4096, 5000, 3 * MIB + 7):
        (root / f"of-{size}").write_bytes(content("file", size))
    (root / "folder/inside").write_bytes(b"inside")
    with (root / "holes").open("wb") as stream:
        for number in range(0, 700, 3):
            stream.seek(number * 8192)
            stream.write(content(str(number), 4096))
    with (root / "hole-at-the-end").open("wb") as stream:
        stream.write(b"data")
        stream.truncate(9 * MIB)
    for number in range(1500):
        (root / f"crowd/a-name-that-takes-some-room-{number}").touch()
    for number in range(3):
        (root / f"few/{number}").touch()
    (root / "folder-link").symlink_to("folder")
    for name, target in LINKS.items():
        if target:
            (root / name).symlink_to(target)
    (root / "astray").symlink_to("/nowhere")
    (root / "loop").symlink_to("loop")
    return root


def made(kind: str, files: Path, target: Path, size: int = 65) -> Path:
    with target.open("wb") as stream:
        stream.truncate(size * MIB)
    sh("mkfs.ext4", "-q", "-F", "-L", "course", "-d", files, *KINDS[kind], target)
    return target


def optimise(image: Path) -> None:
    """Make indexes of large folders."""
    assert subprocess.run(["e2fsck", "-fyD", image], check=False, capture_output=True).returncode in (0, 1)


def walked(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        yield f"/{path.relative_to(root)}", path


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_read(kind: str, files: Path, tmp_path: Path) -> None:
    image = made(kind, files, tmp_path / "image")
    optimise(image)
    if "64k" in kind:
        sh("debugfs", "-w", "-R", "expand_dir /few", image)  # by an empty block
    with opened_file(image) as window:
        filesystem = read_ext4(window.pread, window.size)
        tree = Tree({"/": filesystem})
        for name, path in walked(files):
            if path.is_dir():
                assert tree.names(name) == tuple(sorted(each.name for each in path.iterdir())), name
            elif path.parent.name != "crowd" and not path.is_symlink():
                found = tree.read(name, 2**30)
                assert found == b"".join(tree.stream(name))
                if path.name == "hole-at-the-end" and "inline" in kind:
                    found = (found or b"").ljust(9 * MIB, b"\0")  # mkfs.ext4 1.47.0 loses this hole
                assert found == path.read_bytes(), name
        for link in LINKS:
            assert tree.read(link, 10) == b"inside", link
            assert tree.real(link) == "/folder/inside"
        for nothing in ("astray", "loop", "folder", "of-1/x", "nowhere/at/all"):
            assert tree.read(nothing, 10) is None
            assert (tree.real(nothing) is None) is (nothing != "folder")
        assert set(tree.names("/")) == {*(path.name for path in files.iterdir()), "lost+found"}
        assert filesystem.kind == kind.split()[0]
        facts(filesystem, image)


def facts(filesystem: Ext4, image: Path) -> None:
    said = dict(re.findall(r"^([A-Z][^:\n]+): +(.*)$", sh("dumpe2fs", "-h", image), re.MULTILINE))
    assert filesystem.blocks == int(said["Block count"])
    assert filesystem.free_blocks == int(said["Free blocks"])
    assert filesystem.block_size == int(said["Block size"])
    assert filesystem.label == said["Filesystem volume name"] == "course"
    assert filesystem.uuid.hex() == said["Filesystem UUID"].replace("-", "")
    tables = re.findall(r"^  Inode table at (\d+)-", sh("dumpe2fs", image), re.MULTILINE)
    assert [inode_table(filesystem, group) for group in range(filesystem.groups)] == [*map(int, tables)]
    assert filesystem.clean
    assert not filesystem.unreplayed


def filesystem_of(image: bytes) -> Ext4:
    def pread(place: int, length: int) -> bytes:
        if place < 0 or place + length > len(image):
            raise InvalidInputError("beyond the end")
        return image[place : place + length]

    return read_ext4(pread, len(image))


def opened_tree(image: bytes) -> Tree:
    return Tree({"/": filesystem_of(image)})


def test_one_filesystem_below_another(tmp_path: Path) -> None:
    for name in ("upper", "lower"):
        (tmp_path / name / "mnt").mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "upper/link").symlink_to("mnt/../mnt/file")
    (tmp_path / "lower/mnt/back").symlink_to("/file")
    found = []
    for name in ("upper", "lower"):
        sh("mkfs.ext4", "-q", "-d", tmp_path / name, tmp_path / f"{name}.img", "2M")
        found.append(filesystem_of((tmp_path / f"{name}.img").read_bytes()))
    tree = Tree({"/": found[0], "/mnt": found[1]})
    assert (tree.read("/file", 9), tree.read("/mnt/file", 9), tree.read("/link", 9)) == (b"upper", b"lower", b"lower")
    assert tree.read("/mnt/mnt/back", 9) == b"upper"
    assert tree.real("/link") == "/mnt/file"


def small(tmp_path: Path, *options: str) -> bytes:
    """An image of 2 MiB with /folder/file of 100 kB and /link."""
    (tmp_path / "files/folder").mkdir(parents=True)
    (tmp_path / "files/folder/file").write_bytes(content("file", 100_000))
    (tmp_path / "files/link").symlink_to("folder/file")
    image = tmp_path / "image"
    sh("mkfs.ext4", "-q", "-b", "1024", *options, "-d", tmp_path / "files", image, "2M")
    return image.read_bytes()


def place_of(image: Path, path: str) -> int:
    """Where the inode of `path` is, as debugfs says."""
    said = sh("debugfs", "-R", f"imap {path}", image)
    found = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", said)
    assert found
    return int(found[1]) * 1024 + int(found[2], 16)


def patched(image: bytes, place: int, what: bytes) -> bytes:
    return image[:place] + what + image[place + len(what) :]


# Fields of the superblock that cannot be: each is refused before anything is read by it.
SUPERBLOCKS = {
    "magic": (56, b"xx"),
    "block size": (24, b"\x40\0\0\0"),
    "blocks": (4, b"\xff\xff\xff\x7f"),
    "free blocks": (12, b"\xff\xff\xff\x7f"),
    "first block": (20, b"\x09\0\0\0"),
    "no blocks in a group": (32, bytes(4)),
    "no inodes in a group": (40, bytes(4)),
    "inodes in a group": (40, b"\xff\xff\xff\xff"),
    "inode size": (88, b"\x01\0"),
    "descriptor size": (254, b"\x03\0"),
    "unknown feature": (96, b"\xff\xff\xff\xff"),
    "an inode table beyond 16 TiB": (1024 + 40, b"\x01"),
    "compression": (96, b"\x01\0\0\0"),
}


@pytest.mark.parametrize("name", SUPERBLOCKS)
def test_a_superblock_that_cannot_be(name: str, tmp_path: Path) -> None:
    place, what = SUPERBLOCKS[name]
    image = patched(small(tmp_path, "-O", "64bit"), 1024 + place, what)
    with pytest.raises(InvalidInputError):
        opened_tree(image).names("/")


# Where in the inode of which file: what is written, with or without extents.
INODES = {
    "a file larger than is read": ("/folder/file", 4, b"\xff\xff\xff\xff", True),
    "encrypted": ("/folder/file", 32, b"\x00\x08\x08\0", True),
    "extent magic": ("/folder/file", 40, b"xx", True),
    "too many extents": ("/folder/file", 42, b"\xff\x7f", True),
    "too deep a tree": ("/folder/file", 46, b"\x09\0", True),
    "a tree that leads to the superblock": ("/folder/file", 40, b"\x0a\xf3\1\0\4\0\1\0" + bytes(8) + b"\1\0\0\0", True),
    "an extent beyond the end": ("/folder/file", 60, b"\xff\xff\xff\x7f", True),
    "a folder without sound entries": ("/folder", 60, b"\1\0\0\0", True),
    "a folder that is too large": ("/folder", 4, b"\0\0\0\x7f", True),
    "a link of 4 GiB": ("/link", 4, b"\xff\xff\xff\xff", True),
    "a block beyond the end": ("/folder/file", 40, b"\xff\xff\xff\x7f", False),
    "a map beyond the end": ("/folder/file", 40 + 48, b"\xff\xff\xff\x7f", False),
}


@pytest.mark.parametrize("name", INODES)
def test_an_inode_that_cannot_be(name: str, tmp_path: Path) -> None:
    path, offset, what, extents = INODES[name]
    options = () if extents else ("-O", "^extents,^64bit")
    image = small(tmp_path, *options)
    tree = opened_tree(image)
    for each in ("/folder/file", "/link"):
        assert tree.read(each, 10**6) == content("file", 100_000)
    tree = opened_tree(patched(image, place_of(tmp_path / "image", path) + offset, what))
    with pytest.raises(InvalidInputError):
        tree.read("/link" if path == "/link" else "/folder/file", 10**6)


def test_blocks_that_were_never_written_are_zeros(tmp_path: Path) -> None:
    image = small(tmp_path)
    place = place_of(tmp_path / "image", "/folder/file") + 40 + 12 + 4
    tree = opened_tree(patched(image, place + 1, bytes([image[place + 1] | 0x80])))
    assert tree.read("/folder/file", 10**6) == bytes(100_000)


def test_noise_is_never_a_traceback(tmp_path: Path) -> None:
    """Whatever is wrong, it is said; a few hundred of many that were tried."""
    image, chance = small(tmp_path, "-O", "inline_data"), random.Random(3)  # noqa: S311 - no secret
    used = [place for place in range(0, len(image), 64) if any(image[place : place + 64])]
    for _ in range(300):
        broken = bytearray(image)
        for _ in range(chance.choice((1, 4, 20))):
            broken[chance.choice(used) + chance.randrange(64)] = chance.randrange(256)
        with contextlib.suppress(InvalidInputError):
            tree = opened_tree(bytes(broken))
            for name in (*tree.names("/"), "folder/file", "link"):
                tree.read(name, 10**6)
                tree.names(name)


def test_a_map_that_leads_to_itself_ends(tmp_path: Path) -> None:
    """Each block of a map names itself: that would be 2^24 blocks and more."""
    image = small(tmp_path, "-O", "^extents,^64bit")
    place = place_of(tmp_path / "image", "/folder/file")
    pointer = image[place + 88 : place + 92]
    block = int.from_bytes(pointer, "little")
    image = patched(image, block * 1024, pointer * 256)
    image = patched(image, place + 96, pointer)  # where a map of maps of maps is named
    image = patched(patched(image, place + 4, b"\xff\xff\xff\xff"), place + 108, b"\x04\0\0\0")
    with pytest.raises(InvalidInputError, match="maps one file with more than 1024 blocks"):
        sum(map(len, opened_tree(image).stream("/folder/file")))
