"""What the lab changes on the host outside its own folder, noted first so that all of it can be undone."""

import json
from pathlib import Path

from provision import paths
from provision.lab.host import HostFacts, is_installed
from provision.process import run

QUIET = {"DEBIAN_FRONTEND": "noninteractive"}
APT = ["apt-get", "--yes", "--quiet", "-o", "DPkg::Lock::Timeout=300"]

VERBS = {"packages": "remove the packages", "modules": "unload the kernel modules"}


def make_changes(facts: HostFacts) -> None:
    """Install the packages and load the modules that `facts` found missing."""
    if facts.packages_missing:
        run([*APT, "update"], deadline=600)
        wanted = ["install", "--no-install-recommends", *facts.packages_missing]
        _remember("packages", new_packages(run([*APT, "--simulate", *wanted], deadline=120).stdout))
        run([*APT, *wanted], deadline=900, env=QUIET)
    _remember("modules", facts.modules_to_load)
    for name in facts.modules_to_load:
        run(["modprobe", name], deadline=60)


def undo_changes() -> list[str]:
    """Take away again what was noted; returns what had to stay, a line each."""
    noted = _noted()
    kept = _remove_packages([name for name in noted["packages"] if is_installed(name)])
    for name in reversed(noted["modules"]):
        run(["modprobe", "--remove", "--quiet", name], deadline=60, check=False)  # one in use stays until the next boot
    return kept


def undoable() -> list[str]:
    """What `undo_changes` would take away, a line each."""
    noted = _noted()
    return [f"{verb} {', '.join(noted[kind])}" for kind, verb in VERBS.items() if noted[kind]]


def _remove_packages(names: list[str]) -> list[str]:
    if not names:
        return []
    others = removed_packages(run([*APT, "--simulate", "purge", *names], deadline=120).stdout) - set(names)
    if others:
        return [f"the packages {', '.join(names)} stay: {', '.join(sorted(others))} came to need them"]
    run([*APT, "purge", *names], deadline=600, env=QUIET)
    return []


def new_packages(simulated: str) -> list[str]:
    """The packages that `apt-get --simulate install` would add; "Inst name [old] (new ...)" is an upgrade, not one."""
    words = (line.split() for line in simulated.splitlines() if line.startswith("Inst "))
    return [line[1] for line in words if not line[2].startswith("[")]


def removed_packages(simulated: str) -> set[str]:
    """The packages that `apt-get --simulate purge` would remove."""
    return {line.split()[1] for line in simulated.splitlines() if line.startswith(("Remv ", "Purg "))}


def _noted() -> dict[str, list[str]]:
    try:
        return {"packages": [], "modules": [], **json.loads(_file().read_text())}
    except FileNotFoundError:
        return {"packages": [], "modules": []}


def _remember(kind: str, names: tuple[str, ...] | list[str]) -> None:
    noted = _noted()
    noted[kind] += [name for name in names if name not in noted[kind]]
    paths.write_private(_file(), json.dumps(noted, indent=2) + "\n")


def _file() -> Path:
    return paths.lab_home() / "host.json"
