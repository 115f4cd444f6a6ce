"""The operator's package access (apt, pip, certificates, proxies, resolver), lent to a tree that is being baked.

All of it reaches the tree as environment variables and as read-only mounts, so that none of it can stay.
"""

import os
import ssl
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.process import run

LENT = "/run/provision/lent"  # where the tree sees the lent folder; /run is a tmpfs there
RESOLVER = "/run/systemd/resolve/stub-resolv.conf"  # where guests.tree points the tree's /etc/resolv.conf
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_FILES = {"PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PIP_REQUIREMENT"}
_POLICY = "#!/bin/sh\nexit 101\n"  # Debian policy, 'invoke-rc.d': no service is started


@dataclass(frozen=True)
class Lent:
    """What a guest gets: variables for its processes, and mounts as (here, there, writable).

    `folder` holds our own files, `packages` are the folders of packages that pip's settings name.
    """

    environment: Mapping[str, str]
    mounts: tuple[tuple[Path, str, bool], ...]
    folder: Path
    packages: tuple[Path, ...] = ()


def lend(folder: Path, cache: Path, codename: str) -> Lent:
    """Collect in `folder` (private, ours) what a Debian tree of that `codename` needs to install packages.

    `cache` keeps downloaded packages between bakes.
    """
    pip = _with_files(pip_settings(), folder)
    certificates = _existing(pip.get("PIP_CERT") or ssl.get_default_verify_paths().cafile)
    if certificates:
        _write(folder / "certificates.pem", certificates.read_text())
    _write(folder / "apt.conf", _apt_settings(codename, folder))
    _write(folder / "policy-rc.d", _POLICY)
    (folder / "policy-rc.d").chmod(0o755)
    for name in ("apt/archives/partial", "apt/lists/partial", "pip"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    environment = {
        "APT_CONFIG": f"{LENT}/apt.conf",
        "PIP_CACHE_DIR": f"{LENT}-cache/pip",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        **pip,
        **(dict.fromkeys(_CERTIFICATES, f"{LENT}/certificates.pem") if certificates else {}),
        **{name: os.environ[name] for lower in _PROXIES for name in (lower, lower.upper()) if name in os.environ},
    }
    packages = tuple(sorted(_local_folders(pip.values())))
    mounts = [
        (folder, LENT, False),
        (cache, f"{LENT}-cache", True),
        (folder / "policy-rc.d", "/usr/sbin/policy-rc.d", False),
        *((path, str(path), False) for path in packages),
    ]
    if resolver := _existing("/etc/resolv.conf"):
        mounts.append((resolver, RESOLVER, False))
    return Lent(environment, tuple(mounts), folder, packages)


def _existing(name: str | None) -> Path | None:
    path = Path(name).resolve() if name else None
    return path if path and path.is_file() else None


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def pip_settings() -> dict[str, str]:
    """What this machine's pip is configured with, from files and PIP_* alike, as the variables that pip reads.

    pip lists its files first to last and the environment first of all; the environment wins.
    """
    listed = run([sys.executable, "-m", "pip", "config", "list"], deadline=60).stdout.splitlines()
    settings: dict[str, str] = {}
    for line in sorted(listed, key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        scope, _, name = key.rpartition(".")
        if scope in ("global", "install", ":env:"):
            settings["PIP_" + name.upper().replace("-", "_")] = value.strip("'").replace("\\n", " ").strip()
    return settings


def _with_files(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The settings with each file that they name (of constraints, requirements) copied to `folder` and named there."""
    changed = dict(settings)
    for name in _FILES & set(settings):
        words = []
        for place, word in enumerate(settings[name].split()):
            if there := _existing(word.removeprefix("file://")):
                copy = f"{name.lower()}-{place}.txt"
                _write(folder / copy, there.read_text())
                word = f"{LENT}/{copy}"  # noqa: PLW2901 - the same file, seen from there
            words.append(word)
        changed[name] = " ".join(words)
    return changed


def _local_folders(values: Iterable[str]) -> set[Path]:
    """The folders of packages that pip's settings name; of an index (.../simple) the one that holds its files, too."""
    found = set()
    for word in " ".join(values).split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.is_dir():
            found.add(path.parent if path.name == "simple" else path)
    return found


def _apt_settings(codename: str, folder: Path) -> str:
    """An apt.conf that keeps lists and packages in the cache, and names the operator's own archives of `codename`."""
    access = run(["apt-config", "dump", "--format", '%f "%v";%n', "Acquire::http", "Acquire::https"], deadline=60)
    lines = [
        *access.stdout.splitlines(),
        f'Dir::Cache "{LENT}-cache/apt";',
        f'Dir::State::lists "{LENT}-cache/apt/lists";',
        'APT::Sandbox::User "root";',
        'APT::Install-Recommends "false";',
        'Acquire::Languages "none";',
    ]
    if (folder / "certificates.pem").exists():
        lines.append(f'Acquire::https::CaInfo "{LENT}/certificates.pem";')
    if sources := _apt_sources(codename):
        _write(folder / "sources.list", sources)
        lines += [f'Dir::Etc::sourcelist "{LENT}/sources.list";', 'Dir::Etc::sourceparts "-";']
    return "\n".join(lines) + "\n"


def _apt_sources(codename: str) -> str:
    """The Debian archives of `codename` that this machine's apt knows; "" if none: the tree then uses its own."""
    fields = "$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    done = run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"], deadline=60, check=False)
    lines = (line.split(" ", 2) for line in done.stdout.splitlines() if line.count(" ") >= 5)
    known = {line for origin, name, line in lines if origin == "Debian" and name.split("-")[0] == codename}
    return "".join(f"{line}\n" for line in sorted(known))
