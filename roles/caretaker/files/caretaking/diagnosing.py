"""What the machine knows of its own health: facts, of which others draw conclusions."""

from __future__ import annotations

import contextlib
import grp
import ipaddress
import json
import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterator
from typing import Any

from caretaking.activity import sockets
from caretaking.common import FIRST_BOOT, Settings, owner, services, systemctl

LISTENING = "0A"
FULL = 90  # percent
OOM = re.compile(r"Killed process \d+ \((.+?)\)")
KEPT_FILES = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "tmpfs", "overlay")
PROPERTIES = "ActiveState,SubState,Result,ExecMainStatus,NRestarts,ConditionResult"


def facts(settings: Settings) -> dict[str, Any]:
    """All of them; each says what it saw, none what it means."""
    ours = [*services(settings), "nginx.service", FIRST_BOOT]
    states = {unit: _state(unit) for unit in ours}
    return {
        "student": owner(settings),
        "services": {unit: f"{state['ActiveState']} ({state['SubState']})" for unit, state in states.items()},
        "failed": _failed(states),
        "oom": _oom(),
        "full": dict(_full()),
        "not_executable": _not_executable(ours),
        "password_file": _mode(settings.password_file),
        "cookie_file": _mode(settings.cookie_file),
        "listening": sorted({_listens(address, port) for address, port, state in sockets() if state == LISTENING}),
        "cloud_init": _cloud_init(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "uptime": _uptime(),
    }


def _state(unit: str) -> dict[str, str]:
    said = systemctl("show", f"--property={PROPERTIES}", unit, check=False)
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _failed(states: dict[str, dict[str, str]]) -> dict[str, str]:
    """Every unit that failed, and those of ours that systemd starts again and again, each with its last words."""
    listed = systemctl("list-units", "--failed", "--plain", "--no-legend", check=False)
    failed = {line.split()[0]: _state(line.split()[0]) for line in listed.splitlines() if line.strip()}
    again = {unit: state for unit, state in states.items() if state.get("SubState") == "auto-restart"}
    return {unit: _why(unit, state) for unit, state in {**failed, **again}.items()}


def _why(unit: str, state: dict[str, str]) -> str:
    words = f"{state.get('Result', '')}, exit code {state.get('ExecMainStatus', '')}"
    said = _journal("--unit", unit, "--lines", "1")
    return f"{words}: {said[-1]}" if said else words


def _oom() -> list[str]:
    return [found[1] for line in _journal("--dmesg", "--boot") if (found := OOM.search(line))]


def _journal(*words: str) -> list[str]:
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", *words]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout.splitlines()


def _full() -> Iterator[tuple[str, int]]:
    """File systems with little room left, for data or for files, in percent of what a user may have."""
    with open("/proc/self/mounts") as stream:
        mounts = [line.split()[1:3] for line in stream]
    for place, kind in mounts:
        if kind not in KEPT_FILES:
            continue
        with contextlib.suppress(OSError):
            room = os.statvfs(place)
            used = max(_used(room.f_blocks, room.f_bavail), _used(room.f_files, room.f_favail))
            if used >= FULL and not room.f_flag & os.ST_RDONLY:
                yield place, used


def _used(total: int, free: int) -> int:
    return round(100 * (total - free) / total) if total else 0


def _not_executable(units: list[str]) -> list[str]:
    """Programs of our units that nobody may execute, or that are not there."""
    said = systemctl("show", "--property=ExecStart,ExecStartPre", *units, check=False)
    programs = sorted(set(re.findall(r"path=([^ ;]+)", said)))
    return [program for program in programs if not os.access(program, os.X_OK)]


def _mode(path: str) -> str:
    """Such as "0640 root:student"."""
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return "absent"
    user, group = str(seen.st_uid), str(seen.st_gid)
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(seen.st_uid).pw_name
        group = grp.getgrgid(seen.st_gid).gr_name
    return f"{stat.S_IMODE(seen.st_mode):04o} {user}:{group}"


def _listens(address: str, port: int) -> str:
    """Such as "127.0.0.1:8888"; "*" is every address. The kernel writes words of four bytes in the processor's order."""
    raw = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    where = ipaddress.ip_address(raw)
    return f"{'*' if where.is_unspecified else where}:{port}"


def _cloud_init() -> list[str]:
    """What cloud-init says went wrong, stage by stage."""
    try:
        with open("/run/cloud-init/status.json") as stream:
            stages = json.load(stream)["v1"]
    except (OSError, ValueError, KeyError) as error:
        return [f"it has no result: {error}"]
    return [f"{name}: {each}" for name, stage in stages.items() if isinstance(stage, dict) for each in stage["errors"]]


def _uptime() -> float:
    with open("/proc/uptime") as stream:
        return float(stream.read().split()[0])
