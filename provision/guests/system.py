"""What a guest is: its operating system, its kernels, what its boot menu starts, its accounts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from provision.guests.files import Files, found, lines, text

MENUS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg", "/boot/loader/entries/*.conf")
ACCOUNTS = 1000  # that are looked at
SETTINGS = ("/etc/default/grub", "/etc/default/grub.d/*.cfg")
_KERNEL = re.compile(r"^[ \t]*linux(?:16|efi)?[ \t]+(\S+)(.*)$", re.MULTILINE)
_INITRD = re.compile(r"^[ \t]*initrd(?:16|efi)?[ \t]+(\S+)", re.MULTILINE)
_ENTRY_OPTIONS = re.compile(r"^options[ \t](.*)$", re.MULTILINE)
_SETTING = re.compile(r"^[ \t]*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=(.*)$", re.MULTILINE)
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Boot:
    """What the boot menu starts first: a kernel's version, its initrd's path ("" for none), its options; and where
    that is said."""

    kernel: str
    initrd: str
    options: str
    menu: str


@dataclass(frozen=True)
class System:
    """An operating system: `name` for people; `distro`, `version` and `codename` as os-release says them."""

    name: str
    distro: str
    version: str
    kernels: tuple[str, ...]
    boot: Boot
    codename: str


@dataclass(frozen=True)
class Account:
    """A line of passwd with its hash from shadow, and which of the two files the hash is from."""

    name: str
    home: str
    password: str
    file: str


def read_system(files: Files) -> System:
    """What the guest says of itself; empty where it says nothing."""
    release = dict(_assignments(text(files, "/etc/os-release") or text(files, "/usr/lib/os-release")))
    kernels = sorted(_kernels(files), key=_version)
    name = release.get("PRETTY_NAME") or release.get("NAME", "")
    boot = _boot(files, kernels)
    distro, version, codename = (release.get(key, "") for key in ("ID", "VERSION_ID", "VERSION_CODENAME"))
    return System(name, distro, version, tuple(kernels), boot, codename)


def accounts(files: Files) -> list[Account]:
    """All accounts of a guest."""
    shadow = {fields[0]: fields[1] for fields in _fields(files, "/etc/shadow") if len(fields) > 1}
    made = []
    for fields in islice(_fields(files, "/etc/passwd"), ACCOUNTS):
        if len(fields) >= 6:
            own, home = fields[1], fields[5]
            hashed = own == "x"
            password = shadow.get(fields[0], "*") if hashed else own
            made.append(Account(fields[0], home, password, "/etc/shadow" if hashed else "/etc/passwd"))
    return made


def _fields(files: Files, path: str) -> Iterator[list[str]]:
    return (line.split(":") for line in lines(files, path))


def _assignments(content: str) -> Iterator[tuple[str, str]]:
    for line in content.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            yield key.strip(), value.strip().strip("\"'")


def _kernels(files: Files) -> set[str]:
    """Versions that have both a kernel in /boot and modules."""
    modules = set(files.names("/lib/modules"))
    images = {path.rpartition("/vmlinuz-")[2] for path in found(files, "/boot/vmlinuz-*")}
    return modules & images or images


def _version(kernel: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in _NUMBERS.split(kernel)]


def _boot(files: Files, kernels: list[str]) -> Boot:
    for path in (path for pattern in MENUS for path in found(files, pattern)):
        menu = text(files, path)
        if kernel := _KERNEL.search(menu):
            initrd, entry = _INITRD.search(menu, kernel.end()), _ENTRY_OPTIONS.search(menu)
            options = f"{kernel[2]} {entry[1] if entry else ''}".strip()
            return Boot(_after(kernel[1]), _in_boot(files, initrd[1]) if initrd else "", options, path)
    newest = kernels[-1] if kernels else ""
    names = (f"/boot/initrd.img-{newest}", f"/boot/initramfs-{newest}.img")
    initrd_path = next((name for name in names if newest and files.real(name)), "")
    options, place = _default_options(files)
    return Boot(newest, initrd_path, options, place)


def _default_options(files: Files) -> tuple[str, str]:
    paths = [path for pattern in SETTINGS for path in found(files, pattern)]
    words = (value.strip("\"' ") for path in paths for value in _SETTING.findall(text(files, path)))
    return " ".join(words), paths[0] if paths else ""


def _after(path: str) -> str:
    return path.rpartition("/")[2].partition("-")[2]


def _in_boot(files: Files, path: str) -> str:
    """A path of the boot menu as the guest sees it: /boot may be a filesystem of its own."""
    return path if files.real(path) else f"/boot/{path.rpartition('/')[2]}"
