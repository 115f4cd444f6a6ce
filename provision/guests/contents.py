"""What is inside a guest, told from its files by the guest's own Python: this file is sent to it, and needs only 3.8.

Run as `python3 - FOLDER...` it prints a JSON object; the folders are those whose files are listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path

LARGE = 2**26  # bytes; of a longer file the size is listed, not its SHA-256
FILES = 50000  # that are listed at most
JUPYTER = "opt/jupyter"  # its packages are listed by their names, those of other environments with their folder's
ENVIRONMENTS = ("opt/*", "srv/*", "usr/local", "home/*/*", "home/*/.local")
UNITS = ("etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
NGINX = ("etc/nginx/nginx.conf", "etc/nginx/conf.d/*.conf", "etc/nginx/sites-enabled/*")
_COMMAND_PORT = re.compile(r"(?:--(?:\w+\.)?port[= ]|\s-p )(\d+)")
_COMMAND_ADDRESS = re.compile(r"(?:--(?:\w+\.)?ip[= ]|--host[= ]|\s-i )([\w.:*]+)")


def contents(root: Path, folders: list[str]) -> dict[str, object]:
    """All of it: packages, pip, services, ports, files, and the size of what is used in bytes."""
    units = services(root)
    place = os.statvfs(root)
    return {
        "packages": packages(root),
        "pip": pip(root),
        "services": units,
        "ports": ports(root, units),
        "files": files(root, folders),
        "size": (place.f_blocks - place.f_bfree) * place.f_frsize,
    }


def packages(root: Path) -> dict[str, str]:
    """Debian's packages that are installed, with their versions."""
    found = {}
    for paragraph in _text(root / "var/lib/dpkg/status").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields.get("Version", "")
    return found


def pip(root: Path) -> dict[str, str]:
    """Python's packages that did not come as Debian's, with their versions."""
    found = {}
    for environment in sorted({path for pattern in ENVIRONMENTS for path in root.glob(pattern)}):
        where = str(environment.relative_to(root))
        for path in environment.glob("lib/python3*/*-packages/*.dist-info"):
            name, _, version = path.stem.rpartition("-")
            name = re.sub(r"[-_.]+", "-", name).lower()  # PyPA, 'Names and normalization'
            found[name if where == JUPYTER else f"{where}: {name}"] = version
    return found


def services(root: Path) -> list[str]:
    """The units that are enabled: what another one wants or requires, by the links that say so."""
    links = [path for kind in ("wants", "requires") for path in root.glob(f"etc/systemd/system/*.{kind}/*")]
    return sorted({path.name for path in links})


def ports(root: Path, units: list[str]) -> list[str]:
    """Where services are told to listen, as address:port; "*" is every address."""
    found = set()
    if {"ssh.service", "sshd.service"} & set(units):
        asked = re.findall(r"(?im)^\s*Port\s+(\d+)", _text(root / "etc/ssh/sshd_config"))
        found |= {f"*:{port}" for port in asked or ["22"]}
    for path in [path for pattern in NGINX for path in root.glob(pattern)]:
        for where in re.findall(r"(?m)^\s*listen\s+([^\s;]+)", _text(path)):
            found |= set() if where.startswith("unix:") else {_whole(where)}
    for path in root.glob("etc/postgresql/*/*/postgresql.conf"):
        found |= _postgresql(_text(path))
    found |= _jupyter(_text(root / "etc/jupyter/jupyter_server_config.py"))
    for unit in units:
        said = [_text(root / place / unit) for place in UNITS]
        found |= _unit(next(filter(None, said), ""))
    return sorted(found)


def _whole(where: str) -> str:
    return where if re.search(r":\d+$", where) else f"*:{where}"


def _postgresql(config: str) -> set[str]:
    port = re.findall(r"(?m)^\s*port\s*=\s*(\d+)", config) or ["5432"]
    addresses = re.findall(r"(?m)^\s*listen_addresses\s*=\s*'([^']*)'", config) or ["localhost"]
    return {f"{address.strip()}:{port[-1]}" for address in addresses[-1].split(",") if address.strip()}


def _jupyter(config: str) -> set[str]:
    addresses = re.findall(r"""ServerApp\.ip\s*=\s*["']([^"']+)""", config) or ["localhost"]
    return {f"{addresses[-1]}:{port}" for port in re.findall(r"ServerApp\.port\s*=\s*(\d+)", config)}


def _unit(unit: str) -> set[str]:
    """What a unit's command line or a socket's file says."""
    found = set()
    for line in re.findall(r"(?m)^ExecStart=(.*)$", unit.replace("\\\n", " ")):
        port, address = _COMMAND_PORT.search(line), _COMMAND_ADDRESS.search(line)
        if port:
            found.add(f"{address[1] if address else 'localhost'}:{port[1]}")
    return found | {_whole(where) for where in re.findall(r"(?m)^ListenStream=((?:[\w.\[\]:]+:)?\d+)$", unit)}


def files(root: Path, folders: list[str]) -> dict[str, str | int]:
    """The files below the folders: their SHA-256, of large ones their bytes. Links lead nowhere."""
    found: dict[str, str | int] = {}
    for folder in folders:
        for place, below, names in os.walk(root / folder.lstrip("/")):
            below.sort()
            for path in [Path(place, name) for name in sorted(names)]:
                if len(found) < FILES and path.is_file() and not path.is_symlink():
                    found[f"/{path.relative_to(root)}"] = _told(path)
    return found


def _told(path: Path) -> str | int:
    size = path.stat().st_size
    return size if size > LARGE else hashlib.sha256(path.read_bytes()).hexdigest()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


if __name__ == "__main__":
    json.dump(contents(Path("/"), sys.argv[1:]), sys.stdout)
