"""A box's own disk, booted in QEMU as VirtualBox would: where it cannot be mounted, it is baked like that."""

import base64
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from provision.errors import CommandError, InvalidInputError
from provision.guests.access import Access
from provision.guests.emulator import VIRTUALBOX, Machine, Settings, booted, check_running, console, has_ended
from provision.guests.lending import LENT, RESOLVER, Lent
from provision.guests.probes import VAGRANT_KEY
from provision.guests.qmp import ask
from provision.guests.ssh import ssh_command
from provision.guests.starting import OLDEST_PYTHON
from provision.guests.tree import HOST, write_ssh
from provision.process import run
from provision.progress import Progress

HOST_ADDRESS = "10.0.2.2"  # what the guest calls this computer's loopback (QEMU's user network)
USER = "vagrant"
SSH, BAKE_SSH = 22, 22022  # the guest's ports: its own sshd, and ours for the bake
MEMORY, CPUS = 2048, 2  # MiB
PAUSE = 3.0  # seconds between two tries to log in
ENTRY_SECONDS = 90.0  # what the bake's own sshd may take to listen
END_SECONDS = 300.0  # what the guest may take to switch itself off
SCREEN = "screen.png"
CACHE = "/var/cache/provision-lent"  # packages while it is baked: on its disk, because /run is memory
_LOOPBACK = re.compile(r"(?<=//)(?:127\.0\.0\.1|localhost)(?=[:/])|(?<=@)(?:127\.0\.0\.1|localhost)(?=[:/])")

# In one unit, because that has a view of the files of its own: nothing of this is seen by, or stays in, the guest.
_SERVE = f"""
mkdir -p {LENT}-cache {CACHE}/apt/archives/partial {CACHE}/apt/lists/partial {CACHE}/pip /run/sshd
mkdir -p "$(dirname {RESOLVER})"
[ -e {RESOLVER} ] || cp /etc/resolv.conf {RESOLVER}
ln -sf ..{RESOLVER} /etc/resolv.conf
[ -e /usr/sbin/policy-rc.d ] || : >/usr/sbin/policy-rc.d
chmod 0755 {LENT}/policy-rc.d
systemd-run --quiet --unit=provision-bake --property=BindPaths={CACHE}:{LENT}-cache \\
  --property=BindReadOnlyPaths={LENT}/pam:/etc/pam.d/sshd \\
  --property=BindReadOnlyPaths={LENT}/policy-rc.d:/usr/sbin/policy-rc.d \\
  /usr/sbin/sshd -D -f {LENT}/sshd_config -p {BAKE_SSH}
"""
# What would write again into what is generalised: the seed is saved when its service stops, logs when something ends.
QUIET = f"""
systemctl stop rsyslog.service syslog.socket cron.service atd.service systemd-random-seed.service 2>/dev/null || true
journalctl --quiet --relinquish-var || true
find {CACHE} -mindepth 1 -delete
"""
# Not within the bake's unit, which has another view of the files, and ends here.
OFF = f"""
systemd-run --quiet --unit=provision-off /bin/sh -c 'sleep 1
systemctl stop provision-bake.service
rm -rf {CACHE}
[ -s /usr/sbin/policy-rc.d ] || rm -f /usr/sbin/policy-rc.d
ln -sf ..{RESOLVER} /etc/resolv.conf
sync
systemctl --no-block poweroff'
"""


@dataclass(frozen=True)
class Legacy:
    """A running guest that is being baked; `ssh_config` calls it `image`."""

    machine: Machine
    ssh_config: Path

    def run_script(self, script: str, *, deadline: float) -> str:
        """Run a shell script as root and return what it printed. Raises CommandError, too, if the machine has ended."""
        check_running(self.machine)
        words: list[str | Path] = ["ssh", "-F", self.ssh_config, HOST, "env", "-u", "SYSTEMD_OFFLINE", "/bin/sh", "-eu"]
        return run(words, stdin=script, deadline=deadline).stdout


@contextmanager
def opened_legacy(
    disk: Path, folder: Path, keys: Path, lent: Lent, port: int, progress: Progress, *, kvm: bool, deadline: float
) -> Iterator[Legacy]:
    """Boot the raw `disk`, which is changed by that, and let root in by a key of this bake; then switch it off.

    `folder` (ours) is made; `keys` is one of ours with a short name. `port` is where `shelf.served` serves the folders
    of packages. `deadline` is what booting may take, in seconds. Raises InvalidInputError for a box that does not
    start, or that lets nobody in.
    """
    settings = Settings(disk, "raw", MEMORY, CPUS, kvm=kvm, hardware=VIRTUALBOX, writable=True, ports=(SSH, BAKE_SSH))
    with booted(settings, folder) as machine:
        access = Access("127.0.0.1", USER, None, _key(keys), "legacy", keys / "known", ssh_port=machine.ports[SSH])
        with progress.phase("Starting the box's machine") as phase:
            _await_login(machine, access, deadline)
            phase.result("on KVM" if kvm else "emulated, without KVM")
        _check_rights(access)
        way = ["HostName 127.0.0.1", f"Port {machine.ports[BAKE_SSH]}"]
        config = write_ssh(seen_from_inside(lent, port), keys, *way)
        _as_root(access, entry(lent))
        try:
            _await_entry(machine, config)
            yield Legacy(machine, config)
            with progress.phase("Switching it off"):
                _switch_off(Legacy(machine, config))
        finally:
            with suppress(CommandError):
                run(["ssh", "-F", config, "-O", "exit", HOST], deadline=30, check=False)


def quiet(guest: Legacy) -> None:
    """Stop what writes logs and seeds, and remove the packages of the bake: before it is generalised."""
    guest.run_script(QUIET, deadline=120)


def seen_from_inside(lent: Lent, port: int) -> Lent:
    """What is lent, with this computer's loopback and the folders of packages by their addresses in the guest."""
    served = f"http://{HOST_ADDRESS}:{port}"
    environment = {name: _LOOPBACK.sub(HOST_ADDRESS, value) for name, value in lent.environment.items()}
    for name in environment:
        if name.startswith("PIP_") and lent.packages:
            environment[name] = _by_web(environment[name], lent.packages, served)
    if lent.packages:
        environment["PIP_TRUSTED_HOST"] = f"{environment.get('PIP_TRUSTED_HOST', '')} {HOST_ADDRESS}".strip()
    return replace(lent, environment=environment)


def _by_web(value: str, packages: tuple[Path, ...], served: str) -> str:
    words = []
    for word in value.split():
        path = Path(word.removeprefix("file://"))
        inside = path.is_absolute() and any(path.is_relative_to(folder) for folder in packages)
        words.append(f"{served}{path}/" if inside else word)
    return " ".join(words)


def _key(keys: Path) -> Path:
    """Vagrant's public private key, as ssh wants it: readable by us alone."""
    key = keys / "vagrant"
    key.touch(0o600)
    key.write_text(VAGRANT_KEY.read_text())
    return key


def _await_login(machine: Machine, access: Access, deadline: float) -> None:
    """Try to log in until it works. Raises InvalidInputError if the deadline passes or the key is refused."""
    end = time.monotonic() + deadline
    options = ["BatchMode=yes", "ConnectTimeout=10"]
    while True:
        check_running(machine)
        said = _tried(ssh_command(access, "true", options=options))
        if said is None:
            return
        if "Permission denied" in said:
            raise InvalidInputError(
                f"The box does not let {USER} in with Vagrant's public key, so it cannot be baked in a machine.",
                hint=f"Put that key into /home/{USER}/.ssh/authorized_keys of the box, or use --bake-in tree.",
            )
        if time.monotonic() > end:
            raise _does_not_start(machine, deadline, said)
        time.sleep(PAUSE)


def _tried(command: Sequence[str | Path]) -> str | None:
    """None if the command succeeds; else what it said. A guest that is still starting may keep it waiting."""
    try:
        done = run(command, deadline=60, check=False)
    except CommandError as exc:
        return exc.message
    return done.stderr.strip() if done.returncode else None


def _await_entry(machine: Machine, config: Path) -> None:
    """Wait for the bake's own sshd, which systemd-run only starts."""
    end = time.monotonic() + ENTRY_SECONDS
    while (said := _tried(["ssh", "-F", config, HOST, "true"])) is not None:
        check_running(machine)
        if time.monotonic() > end:
            raise CommandError(f"The bake was not let into the box's machine: {said}")
        time.sleep(PAUSE)


def _does_not_start(machine: Machine, deadline: float, said: str) -> InvalidInputError:
    screen = machine.folder / SCREEN
    with suppress(CommandError):
        ask(machine.folder / "qmp", "screendump", {"filename": str(screen), "format": "png"})
    lines = "\n".join(f"  {line}" for line in console(machine).splitlines()[-8:]) or "  (nothing)"
    return InvalidInputError(
        f"The box did not start: no login by ssh within {deadline:.0f} s ({said}).\nIts serial console said:\n{lines}",
        hint="Start it in VirtualBox and see that it boots and that sshd runs; or use --bake-in tree.",
    )


def _check_rights(access: Access) -> None:
    """Raise InvalidInputError unless the user may become root without a password and there is enough Python."""
    if run(ssh_command(access, "sudo -n true", options=["BatchMode=yes"]), deadline=120, check=False).returncode:
        raise InvalidInputError(
            f"The box's user {USER} may not become root by sudo without a password, so it cannot be baked.",
            hint=f"Install sudo there, with '{USER} ALL=(ALL) NOPASSWD: ALL' in /etc/sudoers.d; or --bake-in tree.",
        )
    wanted = ".".join(map(str, OLDEST_PYTHON))
    asked = f"/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})'"
    if run(ssh_command(access, asked, options=["BatchMode=yes"]), deadline=120, check=False).returncode:
        raise InvalidInputError(
            f"The box has no Python {wanted} or later at /usr/bin/python3; Ansible needs it.",
            hint="Upgrade the box to Debian 11, Ubuntu 20.04 or later.",
        )


def _as_root(access: Access, script: str) -> None:
    """Run a shell script by sudo; secrets in it stay on stdin."""
    run(ssh_command(access, "sudo -n /bin/sh -eu", options=["BatchMode=yes"]), stdin=script, deadline=120)


def entry(lent: Lent) -> str:
    """The script that puts what is lent into the guest's memory, for root alone, and lets the bake in."""
    return _files(lent.folder) + _SERVE


def _files(folder: Path) -> str:
    lines = [f"mkdir -p -m 0755 {LENT.rpartition('/')[0]}", f"mkdir -p -m 0700 {LENT}", "umask 077"]
    for path in sorted(folder.iterdir()):
        content = _LOOPBACK.sub(HOST_ADDRESS, path.read_text())
        lines.append(f"base64 -d >{LENT}/{shlex.quote(path.name)} <<'.'\n{_encoded(content)}\n.")
    return "\n".join(lines) + "\n"


def _encoded(content: str) -> str:
    return base64.encodebytes(content.encode()).decode().strip()


def _switch_off(guest: Legacy) -> None:
    guest.run_script(OFF, deadline=120)
    if not has_ended(guest.machine, deadline=END_SECONDS):
        raise CommandError(f"The box's machine did not switch itself off within {END_SECONDS:.0f} s.")
