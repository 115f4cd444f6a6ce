"""A machine's root filesystem, mounted here: programs run in it at native speed, with nothing of it booted."""

import contextlib
import os
import shlex
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from provision.errors import InvalidInputError
from provision.guests.credentials import new_key_pair
from provision.guests.lending import LENT, RESOLVER, Lent
from provision.process import run

HOST = "image"  # what ssh calls the tree
END_SECONDS = 5.0  # what a connection may take to end by itself
_NEEDS = {"/usr/sbin/sshd": "openssh-server", "/usr/bin/python3": "python3", "/usr/bin/apt-get": "apt"}


@dataclass(frozen=True)
class Tree:
    """A mounted tree, what it is lent, and the devices that it may see, as (here, there): a boot loader asks them."""

    root: Path
    lent: Lent
    devices: tuple[tuple[Path, str], ...] = ()
    machine: str = field(default_factory=lambda: f"provision-{uuid.uuid4().hex[:12]}")

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` in the tree, stdin and stdout being its own."""
        binds = [f"--bind{'' if writable else '-ro'}={here}:{there}" for here, there, writable in self.lent.mounts]
        return [
            "systemd-nspawn",
            "--quiet",
            "--pipe",
            "--as-pid2",
            "--register=no",
            "--keep-unit",
            "--resolv-conf=off",
            "--timezone=off",
            f"--machine={self.machine}",
            f"--directory={self.root}",
            *binds,
            *(f"--bind={here}:{there}" for here, there in self.devices),
            *words,
        ]

    def run_script(self, script: str, *, deadline: float) -> str:
        """Run a shell script in the tree and return what it printed."""
        return run(self.command("/bin/sh", "-eu"), stdin=script, deadline=deadline).stdout


@contextmanager
def opened_tree(root: Path, lent: Lent, devices: Sequence[tuple[Path, str]] = ()) -> Iterator[Tree]:
    """A tree to bake. The mount points that lending makes in it are removed when the context is left."""
    made = {path for _, there, _ in lent.mounts for path in _missing(root, there)}
    tree = Tree(root, lent, tuple(devices))
    try:
        tree.run_script(f"ln -sf ..{RESOLVER} /etc/resolv.conf", deadline=60)
        yield tree
    finally:
        for path in sorted(made, key=lambda path: len(path.parts), reverse=True):
            _remove_empty(path)


@dataclass(frozen=True)
class Release:
    """What a tree is, as os-release says it: debian, bookworm."""

    distro: str
    codename: str


def release_of(root: Path) -> Release:
    """The release of a tree. Raises InvalidInputError for what cannot be baked."""
    for name, package in _NEEDS.items():
        if not os.path.lexists(root / name.lstrip("/")):
            raise InvalidInputError(f"The box cannot be baked: it has no {name}.", hint=f"Install {package} in it.")
    fields = dict(line.split("=", 1) for line in _os_release(root).splitlines() if "=" in line)
    return Release(fields.get("ID", "").strip('"'), fields.get("VERSION_CODENAME", "").strip('"'))


def _os_release(root: Path) -> str:
    """Read /usr/lib/os-release unless it leads out of the tree."""
    path = (root / "usr/lib/os-release").resolve()
    return path.read_text() if path.is_relative_to(root.resolve()) and path.is_file() else ""


def _missing(root: Path, there: str) -> Iterator[Path]:
    """Those parts of the path `there` that the tree has not, outermost first; /run is mounted afresh in any case."""
    path = root
    for part in Path(there).parts[1:]:
        path /= part
        if path.is_symlink() or path == root / "run":
            return
        if not path.exists():
            yield path


def _remove_empty(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    elif path.is_file() and not path.stat().st_size:
        path.unlink()


@contextmanager
def ssh_settings(tree: Tree, folder: Path) -> Iterator[Path]:
    """An ssh_config in `folder` (private, ours) whose host `image` is the tree, as root, with no port opened anywhere.

    sshd serves one connection on its stdin and stdout; every task of a bake shares it.
    """
    command = shlex.join(_serve(tree)).replace("%", "%%")
    config = write_ssh(tree.lent, folder, f"ProxyCommand {command}")
    try:
        yield config
    finally:
        run(["ssh", "-F", config, "-O", "exit", HOST], deadline=30, check=False)
        _end(tree)


def write_ssh(lent: Lent, folder: Path, *way: str) -> Path:
    """The ssh_config that `ssh_settings` yields; lines in `way` say how the guest is reached.

    What an sshd in the guest needs for it, with keys of this bake alone, is put among what is lent.
    """
    keys, host_keys = new_key_pair("provision bake"), new_key_pair("provision bake")
    for path, text in (
        (folder / "key", keys.private),
        (folder / "known_hosts", f"{HOST} {host_keys.public}\n"),
        (lent.folder / "authorized_keys", f"{keys.public}\n"),
        (lent.folder / "host_key", host_keys.private),
        (lent.folder / "sshd_config", _sshd_config(lent)),
        (
            lent.folder / "pam",
            "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
        ),
        (folder / "ssh_config", _ssh_config(folder, way)),
    ):
        path.write_text(text)
        path.chmod(0o600)
    return folder / "ssh_config"


def _end(tree: Tree) -> None:
    """Wait until nothing runs in the tree; what an interrupted task left running there is killed."""
    deadline = time.monotonic() + END_SECONDS
    while processes := _processes(tree):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if time.monotonic() > deadline else signal.SIGTERM)
        time.sleep(0.2)


def _processes(tree: Tree) -> list[int]:
    """The systemd-nspawn processes that have the tree open."""
    found = []
    for commandline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--machine={tree.machine}".encode() in commandline.read_bytes().split(b"\0"):
                found.append(int(commandline.parent.name))
    return found


def _serve(tree: Tree) -> list[str]:
    """sshd wants its privilege separation folder and a PAM service of its own name that knows no locked accounts."""
    serve = f"mkdir -p /run/sshd; mount --bind {LENT}/pam /etc/pam.d/sshd; exec /usr/sbin/sshd -i -f {LENT}/sshd_config"
    return tree.command("/bin/sh", "-c", serve)


def _sshd_config(lent: Lent) -> str:
    variables = {"SYSTEMD_OFFLINE": "1", "DEBIAN_FRONTEND": "noninteractive", **lent.environment}
    pairs = " ".join(f'"{name}={value}"' for name, value in variables.items())
    return f"""\
HostKey {LENT}/host_key
AuthorizedKeysFile {LENT}/authorized_keys
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM yes
LogLevel ERROR
Subsystem sftp internal-sftp
SetEnv {pairs}
"""


def _ssh_config(folder: Path, way: Sequence[str]) -> str:
    lines = "".join(f"  {line}\n" for line in way)
    return f"""\
Host {HOST}
  User root
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  HostKeyAlias {HOST}
  StrictHostKeyChecking yes
  CheckHostIP no
  ControlMaster auto
  ControlPath {folder}/control
  ControlPersist yes
  LogLevel ERROR
{lines}"""
