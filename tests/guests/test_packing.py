"""A backup, as the machine writes and reads it: what goes in comes out, and nothing else does."""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.errors import InvalidInputError
from provision.guests.archives import read_archive
from provision.paths import data_path

sys.path.insert(0, str(data_path("roles/caretaker/files")))  # what runs on the machine, as it is

from caretaking.common import RefusedError  # type: ignore[import-not-found]
from caretaking.packing import MANIFEST, pack, tree, unpack  # type: ignore[import-not-found]

FOLDERS = ["notebooks", "deep/data"]
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


def packed(home: Path) -> bytes:
    target = io.BytesIO()
    pack(str(home), FOLDERS, target)
    return target.getvalue()


def unpacked(backup: bytes, place: Path) -> dict[str, object]:
    place.mkdir()
    manifest: dict[str, object] = unpack(io.BytesIO(backup), str(place), FOLDERS)
    return manifest


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=99), max_size=6))
def test_what_goes_in_comes_out(files: dict[tuple[str, ...], bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("packing")
    (folder / "home/notebooks").mkdir(parents=True)
    for parts, content in files.items():
        place = (folder / "home/notebooks").joinpath(*parts)
        if not any(each.is_file() for each in place.parents) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o700 if content else 0o640)
    unpacked(packed(folder / "home"), folder / "there")
    assert tree(str(folder / "there/notebooks")) == tree(str(folder / "home/notebooks"))


def test_links_empty_folders_times_and_nested_folders_come_out(tmp_path: Path) -> None:
    for name in ("notebooks/empty", "deep/data", "other"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home/notebooks/link").symlink_to("/etc/passwd")
    (tmp_path / "home/deep/data/x").write_text("x")
    os.utime(tmp_path / "home/deep/data/x", (1, 86400))
    os.mkfifo(tmp_path / "home/notebooks/pipe")
    backup = packed(tmp_path / "home")
    manifest = unpacked(backup, tmp_path / "there")
    assert manifest["skipped"] == ["notebooks/pipe: neither a file nor a folder nor a link"]
    assert (tmp_path / "there/notebooks/link").readlink() == Path("/etc/passwd")
    assert (tmp_path / "there/notebooks/empty").is_dir()
    assert (tmp_path / "there/deep/data/x").stat().st_mtime == 86400
    assert not (tmp_path / "there/other").exists()
    (tmp_path / "backup").write_bytes(backup)
    read = read_archive(tmp_path / "backup")
    assert (read.files, read.folders) == ({"deep/data/x": hashlib.sha256(b"x").hexdigest()}, tuple(FOLDERS))


Write = Callable[[tarfile.TarFile], None]


def entry(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "") -> Write:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return lambda tar: tar.addfile(info, io.BytesIO(content))


def manifest(**files: str) -> Write:
    said = {"version": 1, "folders": FOLDERS, "files": files, "skipped": []}
    return entry(MANIFEST, content=json.dumps(said).encode())


GOOD, EMPTY = entry("notebooks", tarfile.DIRTYPE), hashlib.sha256(b"").hexdigest()
HOSTILE: dict[str, tuple[list[Write], str]] = {
    "no manifest": ([GOOD], "no manifest"),
    "nothing": ([], "no manifest"),
    "a file that the manifest does not name": ([GOOD, entry("notebooks/x"), manifest()], "notebooks/x"),
    "a file that is not there": ([GOOD, manifest(x=EMPTY)], "'x'"),
    "another content": ([GOOD, entry("notebooks/x", content=b"y"), manifest(**{"notebooks/x": EMPTY})], "notebooks/x"),
    "more behind it": ([GOOD, manifest(), entry("notebooks/x")], "behind the manifest"),
    "absolute": ([entry("/etc/passwd"), manifest()], "'/etc/passwd'"),
    "upward": ([GOOD, entry("notebooks/../../x"), manifest()], "not below"),
    "another folder": ([entry(".ssh", tarfile.DIRTYPE), manifest()], "not below"),
    "a folder whose name begins alike": ([entry("notebooks2", tarfile.DIRTYPE), manifest()], "not below"),
    "through a link": (
        [GOOD, entry("notebooks/l", tarfile.SYMTYPE, link="/tmp"), entry("notebooks/l/x"), manifest()],  # noqa: S108
        "no folder",
    ),
    "a link in the folder's place": (
        [entry("notebooks", tarfile.SYMTYPE, link="/tmp"), entry("notebooks/x"), manifest()],  # noqa: S108
        "no folder",
    ),
    "into a file": ([GOOD, entry("notebooks/f"), entry("notebooks/f/x"), manifest()], "no folder"),
    "twice": ([GOOD, entry("notebooks/x"), entry("notebooks/x"), manifest()], "twice"),
    "a device": ([GOOD, entry("notebooks/d", tarfile.CHRTYPE), manifest()], "neither"),
    "a hard link": ([GOOD, entry("notebooks/h", tarfile.LNKTYPE, link="/etc/passwd"), manifest()], "neither"),
    "a manifest of later days": ([GOOD, entry(MANIFEST, content=b'{"version": 2}')], "version 1"),
    "a manifest that is none": ([GOOD, entry(MANIFEST, content=b"{")], "JSON"),
}


@pytest.mark.parametrize(("members", "why"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_backup_is_refused(members: list[Write], why: str, tmp_path: Path) -> None:
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb") as zipped, tarfile.open(mode="w|", fileobj=zipped) as tar:
        for write in members:
            write(tar)
    with pytest.raises(RefusedError, match=why):
        unpacked(target.getvalue(), tmp_path / "there")


def means(zipped: bytes, meant: bytes) -> bool:
    try:
        return bool(zipped) and gzip.decompress(zipped) == meant
    except (OSError, EOFError, zlib.error):
        return False


def test_every_cut_and_every_changed_byte_is_seen(tmp_path: Path) -> None:
    (tmp_path / "home/notebooks").mkdir(parents=True)
    (tmp_path / "home/notebooks/x").write_bytes(os.urandom(500))
    whole = packed(tmp_path / "home")
    # A bit between two blocks of gzip's may mean nothing: what comes out is what went in, and nobody need complain.
    meant = gzip.decompress(whole)
    broken = [whole[:end] for end in range(0, len(whole), 37)]
    broken += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(10, len(whole), 37)]
    file = tmp_path / "backup"
    for number, each in enumerate(each for each in broken if not means(each, meant)):
        file.write_bytes(each)
        with pytest.raises(InvalidInputError):
            read_archive(file)
        with pytest.raises(RefusedError):
            unpacked(each, tmp_path / f"there{number}")
