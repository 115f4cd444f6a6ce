"""What the verbs share: the settings, refusals, the lock, the student's services, and acting with their rights alone."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

SETTINGS = "/usr/local/lib/provision/caretaking.json"
LOCK = "/run/provision-caretaker.lock"
UNITS = "/etc/systemd/system"
FIRST_BOOT = "provision-first-boot.service"
FAILED, WRONG, TAKEN, NOBODYS = 1, 2, 4, 5
BODY_LIMIT = 65536
STOP_SECONDS, END_SECONDS = 20, 3


class Refused(Exception):
    """Why a verb was not done, and the exit code that says of which kind that is."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Settings:
    """Where things are on this machine. `folders` are the course's, below `home`; `services` are units or patterns."""

    user: str
    home: str
    folders: list[str]
    services: list[str]
    jupyter_port: int
    public_ports: list[int]
    student_file: str
    password_file: str
    cookie_file: str
    keys_folder: str


def read_settings() -> Settings:
    """As the role wrote them."""
    with open(SETTINGS) as stream:
        return Settings(**json.load(stream))


def body(source: BinaryIO) -> dict[str, Any]:
    """What was sent, a JSON object."""
    try:
        sent = json.loads(source.read(BODY_LIMIT))
    except ValueError as error:
        raise Refused(WRONG, f"what was sent is not JSON: {error}") from error
    if not isinstance(sent, dict):
        raise Refused(WRONG, "what was sent is no JSON object")
    return sent


def record(settings: Settings) -> dict[str, Any]:
    """Whose this machine is, as first boot reads it."""
    try:
        with open(settings.student_file) as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}


def owner(settings: Settings) -> str:
    """The student whose machine this is; empty while it is nobody's."""
    now = record(settings)
    return str(now["student"]) if now.get("password_hash") else ""


@contextlib.contextmanager
def locked(shared: bool = False) -> Iterator[None]:
    """One verb that changes something at a time. The lock ends with who holds it, however that ends."""
    with open(os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def write(path: str, text: str, mode: int) -> None:
    """Write `path` whole, or not at all, and onto the disk."""
    temporary = path + ".new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())
    os.rename(temporary, path)


def services(settings: Settings) -> list[str]:
    """The student's services that this machine has."""
    found = (path for each in settings.services for path in sorted(glob.glob(f"{UNITS}/{each}")))
    return [os.path.basename(path) for path in found if os.path.realpath(path) != "/dev/null"]


def systemctl(*words: str, check: bool = True, timeout: float | None = None) -> str:
    """What systemctl prints."""
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise Refused(FAILED, f"systemctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def end_sessions(settings: Settings) -> None:
    """Stop the student's services, which save what they have, and then end whatever else runs as the student."""
    units = services(settings)
    if units:
        try:
            systemctl("stop", *units, timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            systemctl("kill", "--signal=KILL", *units, check=False)
            systemctl("stop", *units)
    uid, end = pwd.getpwnam(settings.user).pw_uid, time.monotonic() + END_SECONDS
    while processes := list(_processes(uid)):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if time.monotonic() > end else signal.SIGTERM)
        time.sleep(0.05)


def start_services(settings: Settings) -> None:
    """Start them, and wait for none: whether they serve is proved from outside."""
    units = services(settings)
    if units:
        systemctl("start", "--no-block", *units)


def _processes(uid: int) -> Iterator[int]:
    """What runs as a user; a process that has ended and waits for its parent does not."""
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid and os.path.exists(f"/proc/{entry.name}/exe"):
                yield int(entry.name)


def as_student(settings: Settings, work: Callable[[], Any]) -> Any:
    """What `work` returns (JSON), done with the student's rights alone: no link in their folders leads further."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os._exit(_answer(settings, work, writer))
    os.close(writer)
    with open(reader) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    if not said:
        raise Refused(FAILED, f"it was ended before its end (status {status})")
    answer = json.loads(said)
    if "refused" in answer:
        raise Refused(*answer["refused"])
    return answer["done"]


def _answer(settings: Settings, work: Callable[[], Any], writer: int) -> int:
    """The child's whole life."""
    try:
        drop(settings)
        answer = {"done": work()}
    except Refused as refusal:
        answer = {"refused": [refusal.code, str(refusal)]}
    except Exception as error:  # whatever it is, it must reach who asked
        answer = {"refused": [FAILED, f"{type(error).__name__}: {error}"]}
    os.write(writer, json.dumps(answer).encode())
    return 0


def drop(settings: Settings) -> None:
    """Be the student from here on."""
    account = pwd.getpwnam(settings.user)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.umask(0o027)
    os.chdir(account.pw_dir)
