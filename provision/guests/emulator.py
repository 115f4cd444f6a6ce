"""A machine in QEMU for as long as a context lasts, with a cloud's hardware or VirtualBox's; its disk is kept."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.errors import CommandError
from provision.guests.qmp import ask
from provision.process import run, running

PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "setpriv": "util-linux"}
ADDRESS = "10.0.2.15"  # what QEMU's own DHCP server gives the guest
MAC = "52:54:00:12:34:56"
START_SECONDS = 30.0  # what QEMU itself may take
PAUSE = 0.2  # seconds between two looks at it
CLOUD, VIRTUALBOX = "cloud", "virtualbox"

_FORWARD = re.compile(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s")
# No device that is not asked for, nothing of the host's settings, and no program started by a guest that breaks out.
_BARE = ["-no-user-config", "-nodefaults", "-display", "none", "-sandbox", "on,elevateprivileges=deny,spawn=deny"]
_DEVICES = {
    # As Nova makes it; the drive is a CD-ROM there, too.
    CLOUD: {
        "disk": ["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
        "card": "virtio-net-pci",
        "more": ["-device", "virtio-rng-pci"],
    },
    # As VirtualBox's default for Linux: what is written for enp0s3 and /dev/sda works.
    VIRTUALBOX: {
        "disk": ["-device", "ahci,id=ahci,addr=0xd", "-device", "ide-hd,bus=ahci.0,drive=disk,bootindex=0"],
        "card": "e1000,addr=3",
        "more": [],
    },
}


@dataclass(frozen=True)
class Settings:
    """What is put together. `memory` in MiB.

    The `disk` is not written to unless `writable`: what the guest writes goes into a file of the machine's folder.
    `ports` of the guest are reached through the host's loopback. `restricted`: the guest reaches nothing, not even the
    host. `wired`: a plug in the guest's own network, for `provision.guests.wire`. `drive` is a CD-ROM's file.
    """

    disk: Path
    form: str = "qcow2"
    memory: int = 1024
    cpus: int = 1
    kvm: bool = False
    hardware: str = CLOUD
    writable: bool = False
    ports: tuple[int, ...] = ()
    restricted: bool = False
    wired: bool = False
    drive: Path | None = None


@dataclass(frozen=True)
class Machine:
    """A running machine. Its folder holds `console.log`; `ports` are the host's by the guest's."""

    folder: Path
    ports: dict[int, int]
    exit_code: Callable[[], int | None]


@contextmanager
def booted(settings: Settings, folder: Path) -> Iterator[Machine]:
    """Switch a machine on, and have it ended when the context is left. `folder` (ours) is made for its files.

    Raises CommandError with QEMU's own words if it does not start.
    """
    folder.mkdir(mode=0o700)
    disk, form = settings.disk.resolve(), settings.form
    if not settings.writable:
        disk, form = _overlay(disk, form, folder), "qcow2"
    with running(qemu_command(settings, disk, form), output=folder / "qemu.log", cwd=folder) as exit_code:
        machine = Machine(folder, {}, exit_code)
        machine.ports.update(_await_ports(machine))
        yield machine


def qemu_command(settings: Settings, disk: Path, form: str) -> list[str]:
    """QEMU's command line; files without a folder are in the machine's own."""
    devices = _DEVICES[settings.hardware]
    cache = "writeback" if settings.writable else "unsafe"  # an overlay does not outlive its machine
    drive = ["-drive", f"if=none,id=disk,format={form},cache={cache},discard=unmap,file={_escaped(disk)}"]
    return [
        *("qemu-system-x86_64", *_BARE, *_processor(settings), "-m", str(settings.memory), "-smp", str(settings.cpus)),
        *("-machine", "pc", "-device", "VGA", "-serial", "file:console.log"),
        *("-qmp", "unix:qmp,server=on,wait=off"),
        *(*drive, *devices["disk"], *devices["more"], *_network(settings, str(devices["card"]))),
        *(_told(settings.drive) if settings.drive else ()),
    ]


def _processor(settings: Settings) -> list[str]:
    if settings.kvm:
        return ["-accel", "kvm", "-cpu", "host"]
    # TCG's cache of translated code is 1 GiB by default, and more than 256 MiB does not make a guest faster.
    return ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off"]


def _network(settings: Settings, card: str) -> list[str]:
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:0-:{port}" for port in settings.ports)
    user = ["-netdev", f"user,id=user,restrict={'on' if settings.restricted else 'off'}{forwards}"]
    if not settings.wired:
        return [*user, "-device", f"{card},netdev=user,mac={MAC}"]
    plug = "dgram,id=plug,local.type=unix,local.path=wire,remote.type=unix,remote.path=wire.ours"
    hub = [part for name in ("user", "plug") for part in ("-netdev", f"hubport,id=hub-{name},hubid=0,netdev={name}")]
    guest = ["-netdev", "hubport,id=hub,hubid=0", "-device", f"{card},netdev=hub,mac={MAC}"]
    return [*user, "-netdev", plug, *hub, *guest]


def _told(drive: Path) -> list[str]:
    """The drive, and the maker by which cloud-init knows OpenStack: without a drive it would wait minutes for news."""
    drives = ["-drive", f"if=none,id=cd,format=raw,readonly=on,file={_escaped(drive.resolve())}"]
    maker = ["-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Compute"]
    return [*drives, "-device", "ide-cd,drive=cd", *maker]


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _overlay(disk: Path, form: str, folder: Path) -> Path:
    overlay = folder / "overlay.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", form, overlay], deadline=60)
    return overlay


def _await_ports(machine: Machine) -> dict[int, int]:
    """The ports that the host's kernel chose, by the guest's, once QEMU's monitor answers."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            listed = str(ask(machine.folder / "qmp", "human-monitor-command", {"command-line": "info usernet"}))
            return {int(guest): int(host) for host, guest in _FORWARD.findall(listed)}
        except CommandError:
            time.sleep(PAUSE)
            check_running(machine)
            if time.monotonic() > end:
                raise


def check_running(machine: Machine) -> None:
    """Raise CommandError if the machine's QEMU has ended."""
    if (code := machine.exit_code()) is not None:
        raise CommandError(f"The machine has ended with QEMU's exit code {code}.\n{_words(machine)}")


def reset(machine: Machine) -> None:
    """Press its reset button."""
    ask(machine.folder / "qmp", "system_reset")


def power_down(machine: Machine, *, deadline: float) -> bool:
    """Press its power button; true if it then ended within `deadline` seconds."""
    ask(machine.folder / "qmp", "system_powerdown")
    return has_ended(machine, deadline=deadline)


def has_ended(machine: Machine, *, deadline: float) -> bool:
    """Wait for at most `deadline` seconds for the machine to switch itself off; true if it did."""
    end = time.monotonic() + deadline
    while machine.exit_code() is None:
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True


def console(machine: Machine) -> str:
    """What it said on its serial console so far."""
    file = machine.folder / "console.log"
    return file.read_text(errors="replace") if file.exists() else ""


def _words(machine: Machine) -> str:
    """The last lines of QEMU and of the guest."""
    said = (machine.folder / "qemu.log").read_text(errors="replace").splitlines()[-6:]
    return "\n".join(f"  {line}" for line in [*said, *console(machine).splitlines()[-6:]])
