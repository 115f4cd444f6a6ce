"""OpenStack releases as data: a folder each under releases/, read into values."""

import tomllib
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from provision.errors import NotFoundError

RELEASES = Path(__file__).parent / "releases"
DEFAULT = "zed"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRule(_Value):
    """Who owns the files that match `pattern`, and their mode (octal digits)."""

    pattern: str = "*"
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"


class Service(_Value):
    """A systemd service of the machine, the Debian package it comes from, and its HTTP port if it has one."""

    name: str
    package: str
    port: int | None = None


class Units(_Value):
    """systemd units to enable, and those that must never start."""

    enable: tuple[str, ...]
    mask: tuple[str, ...]


class Release(_Value):
    """One OpenStack release: its folder, the Debian suite that carries it, and what its release.toml says."""

    name: str
    folder: Path
    title: str
    suite: str
    files: tuple[FileRule, ...]
    services: tuple[Service, ...]
    units: Units

    def packages(self) -> tuple[str, ...]:
        """The Debian packages of the machine, comments removed."""
        lines = (self.folder / "packages.txt").read_text().splitlines()
        return tuple(word for line in lines for word in line.partition("#")[0].split())

    def rule(self, relative: str) -> FileRule:
        """The rule for the file `relative` of rootfs/."""
        return next((rule for rule in self.files if fnmatchcase(relative, rule.pattern)), FileRule())

    def base_digest(self) -> str:
        """Changes when the base layer would."""
        return _digest(
            self.suite.encode(), *(_content(self.folder / name) for name in ("packages.txt", "base-hook.sh"))
        )

    def digest(self) -> str:
        """Changes when anything in the release would."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return _digest(
            *(part for path in files for part in (str(path.relative_to(self.folder)).encode(), _content(path)))
        )


def release_names() -> list[str]:
    """The releases there are."""
    return sorted(path.parent.name for path in RELEASES.glob("*/release.toml"))


def load_release(name: str) -> Release:
    """The release called `name`; raises NotFoundError."""
    folder = RELEASES / name
    try:
        table = tomllib.loads((folder / "release.toml").read_text())
    except FileNotFoundError as exc:
        raise NotFoundError(f"There is no release {name}.", hint=f"Use one of: {', '.join(release_names())}.") from exc
    return Release.model_validate({"name": name, "folder": folder, **table})


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _digest(*parts: bytes) -> str:
    lengths = (len(part).to_bytes(8, "big") for part in parts)
    return sha256(b"".join(piece for pair in zip(lengths, parts, strict=True) for piece in pair)).hexdigest()
