"""The host as it is, whether the lab can run on it, and what the lab would change there. Only reads."""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from provision import paths
from provision.errors import CommandError
from provision.lab import network
from provision.process import run

PACKAGES = ("iproute2", "mmdebstrap", "systemd-container")
TUN = Path("/dev/net/tun")
# What the machine's networks and layers are made of. A kernel without one of the first four cannot carry the lab.
NEEDED = ("bridge", "overlay", "veth", "vxlan")
MODULES = (*NEEDED, "br_netfilter", "ip_set", "tun", "xt_physdev", "xt_set")
GIB = 2**30
NOT_ROOT = "The lab is made of mounts and network links, which only root may touch: run it with sudo."
MEMORY = 4 * GIB
DISK, DISK_CACHED = 10 * GIB, 4 * GIB


@dataclass(frozen=True)
class HostFacts:
    """What was observed. `routes` are (network, link); memory and disk are bytes that are free."""

    root: bool = True
    machine: str = "x86_64"
    apt: bool = True
    tun: bool = True
    memory: int = 2 * MEMORY
    disk: int = 2 * DISK
    modules_missing: frozenset[str] = frozenset()
    modules_to_load: tuple[str, ...] = ()
    packages_missing: tuple[str, ...] = ()
    routes: tuple[tuple[IPv4Network, str], ...] = field(default=())


def observe_host() -> HostFacts:
    """The facts of this host."""
    modules = {name: _module(name) for name in MODULES}
    return HostFacts(
        root=os.geteuid() == 0,
        machine=platform.machine(),
        apt=shutil.which("apt-get") is not None,
        tun=TUN.exists(),
        memory=_memory_available(),
        disk=_disk_free(paths.lab_home()),
        modules_missing=frozenset(name for name, state in modules.items() if state == "missing"),
        modules_to_load=tuple(name for name, state in modules.items() if state == "loadable"),
        packages_missing=tuple(name for name in PACKAGES if not is_installed(name)),
        routes=tuple(_routes()),
    )


def refusals(facts: HostFacts, *, running: bool, cached: bool) -> list[str]:
    """Why the lab cannot come up here, a sentence each; empty if it can.

    A running lab has its memory and its address range already; `cached` says that the base layer is there.
    """
    return [*_lasting_refusals(facts), *([] if running else _passing_refusals(facts, DISK_CACHED if cached else DISK))]


def _lasting_refusals(facts: HostFacts) -> Iterator[str]:
    if not facts.root:
        yield NOT_ROOT
    if facts.machine != "x86_64":
        yield f"The lab's machine is made for x86_64, and this is {facts.machine}."
    if not facts.apt and facts.packages_missing:
        yield f"This host lacks {_words(facts.packages_missing)} and has no apt-get to install them with."
    if not facts.tun and "tun" not in facts.modules_to_load:
        yield f"{TUN} does not exist, and without it no guest gets a network: allow TUN devices on this machine."
    if missing := [name for name in NEEDED if name in facts.modules_missing]:
        yield f"This kernel has no {_words(missing)}, which the lab is made of: boot another kernel."


def _passing_refusals(facts: HostFacts, disk: int) -> Iterator[str]:
    if facts.memory < MEMORY:
        yield f"Only {facts.memory / GIB:.1f} GiB of memory is free; the lab needs {MEMORY // GIB} GiB."
    if facts.disk < disk:
        yield f"Only {facts.disk / GIB:.1f} GiB is free at {paths.lab_home()}; the lab needs {disk // GIB} GiB there."
    for taken, link in facts.routes:
        if taken.prefixlen and taken.overlaps(network.NETWORK):
            yield f"The lab's addresses {network.NETWORK} are in use here: {taken} is on {link}. Take that away first."


def changes(facts: HostFacts, *, running: bool) -> list[str]:
    """What `lab up` would change on the host, a line each. `lab destroy` undoes all of it."""
    found = []
    if facts.packages_missing:
        found.append(f"install the packages {_words(facts.packages_missing)} and what they depend on")
    if facts.modules_to_load:
        found.append(f"load the kernel modules {_words(facts.modules_to_load)}")
    if not paths.lab_home().exists():
        found.append(
            f"keep everything of the lab in {paths.lab_home()} (up to {DISK // GIB} GiB, and its guests' disks)"
        )
    if not running:
        found.append(f"mount the machine's root below {paths.lab_home()}, and run it as one systemd-nspawn container")
        found.append(f"add the network link {network.LINK} with the address {network.HOST}, for {network.NETWORK}")
    return found


def is_installed(package: str) -> bool:
    """Whether the host has the Debian package."""
    try:
        status = run(["dpkg-query", "--show", "--showformat=${db:Status-Status}", package], deadline=30, check=False)
    except CommandError:
        return False  # no dpkg here
    return status.stdout == "installed"


def _module(name: str) -> str:
    """ "present", "loadable" or "missing". Nothing is loaded by asking."""
    if Path(f"/sys/module/{name}").exists() or _is_filesystem(name):
        return "present"
    if (
        shutil.which("modprobe")
        and not run(["modprobe", "--dry-run", "--quiet", name], deadline=30, check=False).returncode
    ):
        return "loadable"
    return _trial(name)


def _is_filesystem(name: str) -> bool:
    return f"\t{name}\n" in Path("/proc/filesystems").read_text()


def _trial(name: str) -> str:
    """No such module: the kernel has it built in if a network namespace of a moment can have such a link."""
    if name not in NEEDED:
        return "present"  # no way to ask, and not worth a refusal
    if name == "overlay":
        return "missing"
    kind = {"vxlan": ["id", "1", "dstport", "4789"]}.get(name, [])
    try:
        tried = run(["unshare", "--net", "ip", "link", "add", "trial0", "type", name, *kind], deadline=30, check=False)
    except CommandError:
        return "present"  # no unshare; the machine will say
    if "Operation not permitted" in tried.stderr or "failed to execute" in tried.stderr:
        return "present"  # not root, or no ip yet: cannot ask
    return "missing" if tried.returncode else "present"


def _routes() -> Iterator[tuple[IPv4Network, str]]:
    """The networks that this host routes, with their links."""
    try:
        listed = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"], deadline=30).stdout or "[]")
    except CommandError:
        return
    for route in listed:
        unicast = "type" not in route and "dev" in route  # not an address of our own, nor a broadcast
        if unicast and route["dst"] != "default":
            yield IPv4Network(route["dst"], strict=False), route["dev"]


def _memory_available() -> int:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")


def _disk_free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _words(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
