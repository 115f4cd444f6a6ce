"""Ready means proved: what a student does first, done from outside, with the student's own password and key."""

import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from provision.errors import NotReadyError
from provision.guests.access import Access
from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.ssh import ssh_command
from provision.process import run

PAUSE = 2.0  # seconds between two tries
TRY = 15.0  # seconds that one try may take
SSH_REFUSED = 255  # ssh's own exit code: no shell was reached
_REFUSAL = re.compile(r"Permission denied \(([^)]*)\)")
VAGRANT_KEY = Path(__file__).parent / "keys" / "vagrant_insecure"


class NotYetError(Exception):
    """A proof failed; where it is tried again, the next try may succeed."""


@dataclass(frozen=True)
class Stage:
    """One proof, what its failure means, and what to do about it."""

    name: str
    proof: Callable[[Access, float], None]
    meaning: str
    hint: str


def prove_ready(
    access: Access, *, deadline: float, on_stage: Callable[[str], None], stages: tuple[Stage, ...] | None = None
) -> None:
    """Prove that the machine serves its student, within `deadline` seconds, announcing each stage as it begins.

    Without `stages` all are proved.

    Raises `NotReadyError` with the stage that failed: network (port 80 answers), web (/healthz says that Jupyter is
    up), login (the student's password, and no other), kernel (a cell runs over the websocket), ssh (the student's key
    opens a shell), safety (sshd takes neither Vagrant's key nor any password). Without `ssh` the last two are left out:
    the network lets nobody at sshd.
    """
    end = time.monotonic() + deadline
    for stage in STAGES if stages is None else stages:
        on_stage(stage.name)
        try:
            stage.proof(access, end)
        except (JupyterError, NotYetError) as exc:
            raise NotReadyError(stage.name, f"{stage.meaning}: {exc}.", hint=stage.hint) from exc


def until(end: float, attempt: Callable[[], None]) -> None:
    """Repeat `attempt` until it raises nothing; at `end` (of time.monotonic) its last reason is the answer."""
    while True:
        try:
            return attempt()
        except NotYetError:
            if time.monotonic() + PAUSE > end:
                raise
        time.sleep(PAUSE)


def _prove_network(access: Access, end: float) -> None:
    def attempt() -> None:
        try:
            socket.create_connection((access.address, access.port), timeout=TRY).close()
        except OSError as exc:
            raise NotYetError(f"connecting to {access.address} port {access.port}: {exc}") from exc

    until(end, attempt)


def is_serving(access: Access, *, timeout: float = TRY) -> bool:
    """True if the machine's own health page says now, within `timeout` seconds, that its notebooks answer."""
    try:
        return Jupyter(access.url, trusted=not access.tls).request("GET", "healthz", timeout=timeout).ok
    except JupyterError:
        return False


def _prove_web(access: Access, end: float) -> None:
    def attempt() -> None:
        if not is_serving(access):
            raise NotYetError(f"{access.url}healthz did not answer 200 in time")

    until(end, attempt)


def _prove_login(access: Access, _end: float) -> None:
    if access.password is None:
        raise NotYetError("the student's password is not known here")
    if Jupyter(access.url, trusted=not access.tls).sign_in(f"wrong-{secrets.token_hex(8)}"):
        raise NotYetError("a wrong password was accepted")
    if not Jupyter(access.url, trusted=not access.tls).sign_in(access.password):
        raise NotYetError("the student's password was refused")


def _prove_kernel(access: Access, end: float) -> None:
    browser = Jupyter(access.url, trusted=not access.tls)
    browser.sign_in(access.password or "")
    left, right = secrets.randbelow(10**6), secrets.randbelow(10**6)
    printed = browser.run(f"print({left} * {right})", deadline=max(PAUSE, end - time.monotonic()))
    if printed.strip() != str(left * right):
        raise NotYetError(f"a cell that multiplies printed {printed.strip()!r}")


def _prove_ssh(access: Access, end: float) -> None:
    def attempt() -> None:
        code, printed, said = _ssh(access, "id", "-un")
        if code or printed.strip() != access.user:
            raise NotYetError(said.strip() or f"the shell answered {printed.strip()!r}")

    until(end, attempt)


def prove_refused(access: Access, end: float) -> None:
    """Prove that sshd answers, and does not let in the user with a key that it was not given."""

    def attempt() -> None:
        code, _, said = _ssh(access, "true")
        if code == SSH_REFUSED and not _REFUSAL.search(said):
            raise NotYetError(said.strip() or "nothing answers")
        refused.append(code == SSH_REFUSED)

    refused: list[bool] = []
    until(end, attempt)
    if not refused[0]:
        raise NotYetError(f"a stranger's key signs in as {access.user}")


def prove_safety(access: Access, _end: float) -> None:
    """Prove that sshd takes neither Vagrant's key nor any password."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        shutil.copyfile(VAGRANT_KEY, key)
        key.chmod(0o600)  # ssh ignores a key that others can read, and a checkout's file is one
        for user in (access.user, "vagrant", "root"):
            code, _, said = _ssh(replace(access, user=user, key=key), "true")
            if code != SSH_REFUSED:
                raise NotYetError(f"Vagrant's public key signs in as {user}")
            methods = _REFUSAL.search(said)
            if not methods or methods[1] != "publickey":
                raise NotYetError(f"sshd should offer {user} keys alone, but said: {said.strip() or 'nothing'}")


def prove_no_sudo(access: Access, _end: float) -> None:
    """Prove that sudo makes the user nobody else without a password, by no rule for the user or a group of theirs."""
    # It lists a user's rules without a password if any of them needs none.
    for words in (("sudo", "-n", "true"), ("sudo", "-n", "-l")):
        code, printed, said = _ssh(access, *words)
        if code == SSH_REFUSED:
            raise NotYetError(said.strip() or "no shell answers")
        if not code:
            rules = "; ".join(line.strip() for line in printed.splitlines() if "NOPASSWD" in line)
            raise NotYetError(f"{' '.join(words)} asks {access.user} for no password{rules and f': {rules}'}")


def _ssh(access: Access, *remote: str) -> tuple[int, str, str]:
    words = ("BatchMode=yes", f"ConnectTimeout={TRY:.0f}", "ConnectionAttempts=3")
    done = run(ssh_command(access, *remote, options=words), deadline=6 * TRY, check=False)
    return done.returncode, done.stdout, done.stderr


STAGES = (
    Stage(
        "network",
        _prove_network,
        "Nothing answers at the machine's address",
        "Read its console (openstack console log show SERVER). A guest that still boots needs more time.",
    ),
    Stage(
        "web",
        _prove_web,
        "The machine is up but its notebooks are not",
        "Run systemctl --failed on it by provision ssh. A guest that still boots needs more time.",
    ),
    Stage(
        "login",
        _prove_login,
        "The notebooks answer but signing in is not right",
        "Run journalctl -u provision-first-boot on it by provision ssh: it sets the password.",
    ),
    Stage(
        "kernel",
        _prove_kernel,
        "Signing in works but no cell runs",
        "Run journalctl -u jupyter on it by provision ssh. A proxy that drops websockets looks like this too.",
    ),
    Stage(
        "ssh",
        _prove_ssh,
        "The notebooks work but the student's SSH key opens no shell",
        "May this computer use SSH there (access.ssh)? If so, read its console (openstack console log show SERVER): "
        "first boot writes the keys.",
    ),
    Stage(
        "safety",
        prove_safety,
        "The machine works but is not safe",
        "Do not give it out. Build the image again: provision image build COURSE.",
    ),
)


def stages(*, ssh: bool) -> tuple[Stage, ...]:
    """The proofs of a machine, with or without those that need SSH."""
    return tuple(stage for stage in STAGES if ssh or stage.name not in ("ssh", "safety"))
