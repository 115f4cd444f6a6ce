"""How the lab's services are: what systemd says, whether their endpoints answer, their memory and their versions."""

import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from provision.lab import network
from provision.lab.layers import Layers
from provision.lab.machine import leader, run_inside
from provision.lab.release import Release, Service

GUESTS = "guests"
OTHERS = "system"


@dataclass(frozen=True)
class ServiceHealth:
    """One service: `health` is "ok" or a few words on what is wrong; memory is PSS in bytes."""

    name: str
    health: str
    version: str
    memory: int


@dataclass(frozen=True)
class Health:
    """The lab as it is now."""

    services: tuple[ServiceHealth, ...]
    guests: int

    @property
    def ok(self) -> bool:
        """Whether every service is well."""
        return all(service.health == "ok" for service in self.services)

    @property
    def memory(self) -> int:
        """Bytes of everything in the machine, guests included."""
        return sum(service.memory for service in self.services)


def observe_health(release: Release, layers: Layers) -> Health:
    """Ask systemd, dpkg, /proc and each endpoint. Raises NotFoundError where no lab runs."""
    states = unit_states(
        run_inside(layers, "systemctl", "show", "--property=Id,ActiveState,SubState", *_units(release))
    )
    shown = run_inside(
        layers, "dpkg-query", "--show", "--showformat=${Package} ${Version}\\n", *_packages(release), check=False
    )
    versions = dict(line.split() for line in shown.splitlines())
    memory, guests = _memory(leader(layers) or 0, {service.name for service in release.services})
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(_answer, release.services))
    services = [
        ServiceHealth(
            service.name,
            states.get(service.name) or answer or "ok",
            versions.get(service.package, ""),
            memory[service.name],
        )
        for service, answer in zip(release.services, answers, strict=True)
    ]
    rest = [ServiceHealth(name, "ok", "", memory[name]) for name in (OTHERS, GUESTS)]
    return Health(tuple(services + rest), guests)


def _units(release: Release) -> list[str]:
    return [f"{service.name}.service" for service in release.services]


def _packages(release: Release) -> list[str]:
    return sorted({service.package for service in release.services})


def unit_states(shown: str) -> Mapping[str, str]:
    """What is wrong with each unit of `systemctl show`'s blocks, by name; "" for one that runs."""
    blocks = (dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n"))
    return {
        block["Id"].removesuffix(".service"): ""
        if block["ActiveState"] == "active"
        else f"{block['ActiveState']} ({block['SubState']})"
        for block in blocks
    }


def _answer(service: Service) -> str:
    """What is wrong with the service's endpoint as the host reaches it; "" if it answers or has none."""
    if service.port is None:
        return ""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{network.MACHINE}:{service.port}/", timeout=10):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code < 500 else f"answers with HTTP {error.code}"
    except OSError as error:
        return f"does not answer ({error})"


def _memory(init: int, names: Iterable[str]) -> tuple[Counter[str], int]:
    """PSS in bytes by service of every process in the machine whose PID 1 is `init`, and how many guests there are."""
    known, found, guests = set(names), Counter[str](), 0
    namespace = _link(Path(f"/proc/{init}/ns/pid"))
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _link(process / "ns/pid") == namespace:
            owner = _owner(process, known)
            guests += owner == GUESTS
            found[owner] += _pss(process)
    return found, guests


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _owner(process: Path, known: set[str]) -> str:
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        group = (process / "cgroup").read_text()
    except OSError:
        return OTHERS
    if command[0].endswith(b"qemu-system-x86_64") and b"-name" in command:
        return GUESTS
    unit = re.search(r"/([^/\n]+)\.service\b", group)
    return unit[1] if unit and unit[1] in known else OTHERS


def _pss(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
