"""A backup as a file here: whole, and all in it what its manifest says. A machine writes it (roles/caretaker)."""

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from provision.errors import InvalidInputError

MANIFEST = ".provision-manifest.json"
VERSION = 1
BLOCK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """What a backup holds: the SHA-256 of each file, the folders, and what could not be read, each with why."""

    files: Mapping[str, str]
    folders: tuple[str, ...]
    skipped: tuple[str, ...]


def read_archive(place: Path) -> Archive:
    """Read all of a backup, and prove it. Raises InvalidInputError for one that is cut short or was changed."""
    files: dict[str, str] = {}
    manifest: dict[str, object] = {}
    try:
        with gzip.open(place) as packed, tarfile.open(mode="r|", fileobj=packed) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content and member.name == MANIFEST:
                    manifest = json.load(content)
                elif content:
                    files[member.name] = _digest(content)
            while packed.read(BLOCK):
                pass  # to the end, where gzip's own checksum is
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as exc:
        raise InvalidInputError(f"{place} is no backup, or a part of it is missing: {exc}", hint=_HINT) from exc
    if manifest.get("version") != VERSION or manifest.get("files") != files:
        raise InvalidInputError(f"{place} is not what its machine wrote: its manifest says otherwise.", hint=_HINT)
    return Archive(files, _words(manifest, "folders"), _words(manifest, "skipped"))


_HINT = "Restore another generation: --from FILE."


def _words(manifest: Mapping[str, object], key: str) -> tuple[str, ...]:
    said = manifest.get(key)
    return tuple(map(str, said)) if isinstance(said, list) else ()


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := content.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
