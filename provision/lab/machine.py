"""The lab's one machine: a systemd-nspawn container that boots Debian. /proc says whether it runs: no pid file."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from provision.errors import NotFoundError, ProvisionError
from provision.lab import network
from provision.lab.layers import Layers
from provision.process import become, run, start

NAME = "lab"
UNIT = "provision-lab"
UNITS = ("lab-databases", "lab-ready")  # the releases' own: schemas at the first boot; contents and readiness
LINK = Path("/sys/class/net") / network.LINK


def boot(layers: Layers) -> None:
    """Start the machine on its mounted root."""
    pid = start(_supervised(nspawn_command(layers), layers), output=layers.console)
    deadline = time.monotonic() + 30
    while not (LINK.exists() and leader(layers)):
        if time.monotonic() > deadline or (_has_ended(pid) and not supervisor(layers)):
            raise ProvisionError(f"The lab's machine did not start.\n{_last_words(layers)}")
        time.sleep(0.1)


def ensure_link() -> None:
    """Give the host's end of the machine's network its address."""
    run(["ip", "address", "replace", f"{network.HOST}/{network.NETWORK.prefixlen}", "dev", network.LINK], deadline=10)
    run(["ip", "link", "set", network.LINK, "up"], deadline=10)


def nspawn_command(layers: Layers) -> list[str]:
    """systemd-nspawn's command line."""
    return [
        *(
            "systemd-nspawn",
            "--quiet",
            "--boot",
            f"--directory={layers.root}",
            f"--machine={NAME}",
            f"--hostname={NAME}",
        ),
        # Unregistered: right on a host with and without systemd as PID 1, and no other tool meddles with it.
        *("--register=no", "--keep-unit", "--link-journal=no", "--console=pipe", "--resolv-conf=off", "--timezone=off"),
        f"--network-veth-extra={network.LINK}:host0",
    ]


def _supervised(command: Sequence[str], layers: Layers) -> list[str]:
    """Under systemd the machine is a service of its own, so that it outlives the login that started it."""
    if not Path("/run/systemd/system").is_dir():
        return list(command)
    properties = ("Delegate=yes", "KillMode=mixed", f"StandardOutput=append:{layers.console}", "StandardError=inherit")
    options = [f"--property={setting}" for setting in properties]
    return ["systemd-run", "--quiet", "--collect", "--service-type=exec", f"--unit={UNIT}", *options, "--", *command]


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def supervisor(layers: Layers) -> int | None:
    """The pid of the systemd-nspawn that runs this machine."""
    wanted = f"--directory={layers.root}"
    return next((pid for pid in _pids() if _name(pid) == "systemd-nspawn" and wanted in _arguments(pid)), None)


def leader(layers: Layers) -> int | None:
    """The host's pid of the machine's own PID 1."""
    parent = supervisor(layers)
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split() if parent else []
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(pid) for pid in children if _name(int(pid)) in ("systemd", "init")), None)


def strays(folder: Path) -> list[int]:
    """Processes that still work in `folder`: what an interrupted build leaves running."""
    return [pid for pid in _pids() if pid != os.getpid() and _works_in(pid, folder)]


def end_strays(folder: Path) -> None:
    """Kill what an interrupted run left working in `folder`, and wait until it is gone."""
    deadline = time.monotonic() + 30
    while found := strays(folder):
        for pid in found:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ProvisionError(f"These processes do not end: {', '.join(map(str, found))}.")
        time.sleep(0.1)


def inside(layers: Layers, *args: str, terminal: str = "dumb") -> list[str]:
    """The command line that runs `args` in the machine as root; raises NotFoundError where none runs."""
    pid = leader(layers)
    if pid is None:
        raise NotFoundError("The lab is not running.", hint="Start it with: provision lab up")
    environment = [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LANG=C.UTF-8",
        "OS_CLOUD=admin",
        f"TERM={terminal}",
    ]
    namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
    return ["nsenter", f"--target={pid}", *namespaces, "env", "-i", *environment, *args]


def run_inside(layers: Layers, *args: str, deadline: float = 30, check: bool = True) -> str:
    """What `args`, run in the machine, prints."""
    return run(inside(layers, *args), deadline=deadline, check=check).stdout


def become_inside(layers: Layers, *args: str) -> None:
    """Replace this process by `args` in the machine."""
    become(inside(layers, *args, terminal=os.environ.get("TERM", "dumb")))


def ask_again(layers: Layers) -> None:
    """Let the machine look once more whether its cloud answers, should it have given up."""
    run_inside(layers, "systemctl", "start", "--no-block", *(f"{name}.service" for name in UNITS), check=False)


def wait_ready(layers: Layers, *, deadline: float = 600) -> Iterator[str]:
    """Wait until the cloud answers; yields what the machine says on the way."""
    end, said = time.monotonic() + deadline, ""
    while time.monotonic() < end:
        state = run_inside(layers, "systemctl", "is-active", "lab-ready.service", check=False).strip()
        if state == "active":
            return
        if state == "failed" or leader(layers) is None:
            raise ProvisionError(
                f"The lab's cloud did not come up.\n{_journal(layers)}", hint="See: provision lab logs"
            )
        words = _latest(layers)
        if words != said and words:
            said = words
            yield words
        time.sleep(0.5)
    raise ProvisionError(
        f"The lab's cloud did not answer within {deadline:.0f} s.\n{_journal(layers)}", hint="See: provision lab logs"
    )


def halt(layers: Layers, *, deadline: float = 90) -> None:
    """Power the machine off in order; kill it if that takes longer than `deadline` seconds."""
    pid = supervisor(layers)
    if pid is None:
        return
    _signal(pid, signal.SIGTERM)
    if not _gone(layers, deadline):
        kill(layers)


def kill(layers: Layers) -> None:
    """End the machine at once, as pulling its plug would."""
    init, pid = leader(layers), supervisor(layers)
    if init:
        _signal(init, signal.SIGKILL)  # its PID namespace ends with it
    if pid and not _gone(layers, 10):
        _signal(pid, signal.SIGKILL)
        if not _gone(layers, 10):
            raise ProvisionError(f"The lab's machine (process {pid}) does not end.")


def _gone(layers: Layers, deadline: float) -> bool:
    end = time.monotonic() + deadline
    while supervisor(layers):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _latest(layers: Layers) -> str:
    """The last line that the release's script called ready printed."""
    return run_inside(
        layers, "journalctl", "-q", "-b", "-o", "cat", "-n", "1", "--identifier=ready", check=False
    ).strip()


def _journal(layers: Layers) -> str:
    units = [f"--unit={name}" for name in UNITS]
    try:
        return run_inside(layers, "journalctl", "-q", "-b", "-o", "cat", "-n", "12", *units, check=False).rstrip()
    except NotFoundError:
        return _last_words(layers)


def _last_words(layers: Layers) -> str:
    return "\n".join(layers.console.read_text(errors="replace").splitlines()[-12:])


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _works_in(pid: int, folder: Path) -> bool:
    try:
        root = Path(f"/proc/{pid}/root").readlink()
    except OSError:
        return False
    return root.is_relative_to(folder) or str(folder) in _arguments(pid)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
