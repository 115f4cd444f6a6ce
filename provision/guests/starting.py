"""What keeps a VirtualBox guest from starting on a cloud, or from being reached and looked after there."""

import re
from collections.abc import Iterator

from provision.guests.files import Files, found, lines, text
from provision.guests.findings import CRITICAL, MINOR, SERIOUS, Finding
from provision.guests.initrd import modules
from provision.guests.system import System

MODULES_DEP_BYTES = 2**23
DISK_MODULES, NETWORK_MODULE = {"virtio_pci", "virtio_blk"}, "virtio_net"
SHARED = {"vboxsf", "vmhgfs", "fuse.vmhgfs-fuse", "prl_fs", "9p"}
OLDEST_PYTHON = (3, 8)  # of the targets of ansible-core 2.19
BAKE_NEEDS = ("/usr/sbin/sshd", "/usr/bin/python3", "/usr/bin/apt-get")

_DEVICE = re.compile(r"/dev/(?:sd|hd|xvd)[a-z]+\d*$")
_NAME = r"(?:eth\d+|en[opsx]\w+)"
# Files that say which interface to use: where, and the words that name one.
_NETWORKS = (
    ("/etc/network/interfaces", re.compile(rf"^[ \t]*(?:iface|auto|allow-hotplug)[ \t]+({_NAME})\b", re.MULTILINE)),
    ("/etc/network/interfaces.d/*", re.compile(rf"^[ \t]*(?:iface|auto|allow-hotplug)[ \t]+({_NAME})\b", re.MULTILINE)),
    ("/etc/netplan/*.yaml", re.compile(rf"^[ \t]+[\"']?({_NAME}|macaddress)[\"']?:", re.MULTILINE)),
    ("/etc/systemd/network/*.network", re.compile(rf"^(?:Name=({_NAME})|(MACAddress)=)", re.MULTILINE)),
    ("/etc/NetworkManager/system-connections/*", re.compile(rf"^interface-name=({_NAME})|^(mac-address)=", re.M)),
    ("/etc/sysconfig/network-scripts/ifcfg-*", re.compile(rf"^DEVICE=[\"']?({_NAME})|^(HWADDR)=", re.MULTILINE)),
    ("/etc/udev/rules.d/70-persistent-net.rules", re.compile(rf"^[^#].*NAME=\"({_NAME})\"", re.MULTILINE)),
)


def no_virtio(files: Files, system: System) -> Iterator[Finding]:
    """Drivers for the cloud's disk and network card, in the kernel, its initrd or its modules."""
    folder = f"/lib/modules/{system.boot.kernel}"
    if not system.boot.kernel:
        return
    there = files.read(f"{folder}/modules.dep", MODULES_DEP_BYTES) or b""
    missing = DISK_MODULES | {NETWORK_MODULE}
    missing -= {line.rpartition("/")[2].partition(".ko")[0] for line in lines(files, f"{folder}/modules.builtin")}
    if _has_module(there, NETWORK_MODULE):
        missing.discard(NETWORK_MODULE)  # which can wait until the disk is mounted
    if missing and system.boot.initrd:
        for name in modules(files.stream(system.boot.initrd)):
            missing.discard(name)
            if not missing:
                break
    if missing:
        can_be_added = all(_has_module(there, name) for name in missing)
        yield Finding(
            "no_virtio",
            CRITICAL,
            f"The kernel that starts has no {', '.join(sorted(missing))}: it does not see the cloud's "
            f"{'disk' if missing & DISK_MODULES else 'network card'}.",
            (system.boot.initrd or folder,),
            can_be_added,
            "It names the virtio modules in the initrd and makes it anew."
            if can_be_added
            else "It cannot: the kernel was built without them. Install the distribution's own kernel in the box.",
        )


def _has_module(dependencies: bytes, name: str) -> bool:
    """Whether modules.dep lists it."""
    return f"/{name}.ko".encode() in dependencies


def network_tied_to_name(files: Files, system: System) -> Iterator[Finding]:
    """Network settings for one interface, which has another name or address on the cloud."""
    classic = "net.ifnames=0" in system.boot.options.split()
    tied: dict[str, str] = {}
    for pattern, words in _NETWORKS:
        for path in found(files, pattern):
            for groups in words.findall(text(files, path)):
                name = groups if isinstance(groups, str) else "".join(groups)
                if not (classic and name == "eth0"):
                    tied.setdefault(path, name)
    # The bake names interfaces as of old, so a networkd file for eth0 would be asked before its own.
    left = [path for path, name in tied.items() if path.startswith("/etc/systemd/network/") and name == "eth0"]
    if tied:
        yield Finding(
            "network_tied_to_name",
            CRITICAL,
            f"The network is set up for {', '.join(sorted(set(tied.values())))} alone, which a cloud's machine need "
            "not have: it may get no address.",
            tuple(tied),
            not left,
            f"{left[0]} stays, and is asked first."
            if left
            else "It asks for an address on whatever interface there is.",
        )


def fstab(files: Files, _system: System) -> Iterator[Finding]:
    """Mounts of what a cloud does not have."""
    entries = [fields for line in lines(files, "/etc/fstab") if len(fields := line.split()) >= 3]
    shared = [fields for fields in entries if fields[2] in SHARED or fields[1] == "/vagrant"]
    devices = [fields[0] for fields in entries if _DEVICE.match(fields[0])]
    if shared:
        others = {fields[2] for fields in shared} - {"vboxsf"}
        yield Finding(
            "shared_folder",
            CRITICAL
            if any("nofail" not in fields[3:4] and "noauto" not in "".join(fields[3:4]) for fields in shared)
            else MINOR,
            f"A folder of the computer that ran it is mounted at {', '.join(fields[1] for fields in shared)}: "
            "a cloud has none, and the machine waits for it when it starts.",
            ("/etc/fstab",),
            not others,
            f"It leaves {', '.join(sorted(others))} alone." if others else "It takes the lines out.",
        )
    if devices:
        yield Finding(
            "fstab_device_name",
            CRITICAL,
            f"{', '.join(devices)} is mounted by its name; on the cloud the disk is /dev/vda.",
            ("/etc/fstab",),
            False,
            "It leaves them. Write UUID= instead, in the box.",
        )


def no_serial_console(_files: Files, system: System) -> Iterator[Finding]:
    """What the cloud shows as the machine's log is what it says on its serial port."""
    by_grub = "grub" in system.boot.menu
    if "console=ttyS" not in system.boot.options and "console=hvc" not in system.boot.options:
        yield Finding(
            "no_serial_console",
            MINOR,
            "The kernel says nothing on a serial console: the cloud's console log stays empty.",
            (system.boot.menu,) if system.boot.menu else (),
            by_grub,
            "It adds console=ttyS0,115200 to GRUB's menu."
            if by_grub
            else "It sets up GRUB alone, and this is another boot loader. Add console=ttyS0,115200 in the box.",
        )


def no_cloud_init(files: Files, _system: System) -> Iterator[Finding]:
    """What the cloud knows of a machine (its name, its student) reaches it by cloud-init."""
    if not files.real("/usr/bin/cloud-init"):
        yield Finding(
            "no_cloud_init",
            SERIOUS,
            "There is no cloud-init: a machine cannot learn its name and its student from the cloud.",
            ("/usr/bin/cloud-init",),
            True,
            "It installs and configures it.",
        )


def old_python(files: Files, _system: System) -> Iterator[Finding]:
    """Ansible needs a Python in the guest."""
    path = files.real("/usr/bin/python3") or files.real("/usr/libexec/platform-python")
    version = re.search(r"python(\d+)\.(\d+)$", path or "")
    if path and (not version or (int(version[1]), int(version[2])) >= OLDEST_PYTHON):
        return
    there = f"The newest Python is {version[0].removeprefix('python')}" if version else "There is no Python 3"
    yield Finding(
        "old_python",
        CRITICAL,
        f"{there}; Ansible needs {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later.",
        (path or "/usr/bin/python3",),
        False,
        "It cannot run without it. Upgrade the box.",
    )


def cannot_be_baked(files: Files, _system: System) -> Iterator[Finding]:
    """The bake needs a few programs of the guest's own, and apt."""
    missing = tuple(path for path in BAKE_NEEDS if not files.real(path))
    if missing:
        yield Finding(
            "cannot_be_baked",
            CRITICAL,
            f"The bake needs {', '.join(missing)}: it knows Debian and what descends from it, with OpenSSH and Python.",
            missing,
            False,
            "It refuses this guest.",
        )
