"""The saved corpus: for each target a zip of inputs that a fuzzer found, a little one, so that git can keep it."""

import hashlib
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

FOLDER = Path(__file__).with_name("corpus")
MOST = 7000  # bytes of a target's zip
_ENTRY = 2 * 40 + 30 + 46 + 40  # bytes that a zip has for each file: its name twice, its two headers, and some


def load(target: str) -> list[bytes]:
    """The inputs that were saved for a target, the smallest first."""
    path = FOLDER / f"{target}.zip"
    if not path.exists():
        return []
    with ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def save(target: str, inputs: list[bytes]) -> None:
    """Save as many of `inputs` as there is room for, those first that are small when packed."""
    room = MOST
    with ZipFile(FOLDER / f"{target}.zip", "w", ZIP_DEFLATED) as archive:
        for packed, each in sorted((len(zlib.compress(each)), each) for each in set(inputs)):
            room -= packed + _ENTRY
            if room < 0:
                break
            archive.writestr(ZipInfo(name_of(each)), each, ZIP_DEFLATED)  # with a date that is always the same


def name_of(each: bytes) -> str:
    """What libFuzzer calls an input."""
    return hashlib.sha1(each).hexdigest()  # noqa: S324  # no secret
