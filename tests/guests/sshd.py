"""A real sshd on loopback, which can be cut off: each connection is an `sshd -i` of its own."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from threading import Thread

from provision.guests.access import Access

SSHD = "/usr/sbin/sshd"
CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
SetEnv HOME={folder}/home XDG_RUNTIME_DIR={folder}/run APT_PARTS={folder}/apt
"""


@dataclass
class Sshd:
    """A running one: `down` takes no one in, `cut` ends whoever is there."""

    folder: Path
    port: int
    down: bool = False
    sessions: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def access(self) -> Access:
        """The way in, as whoever runs the test."""
        folder = self.folder
        known = folder / "known_hosts"
        return Access("127.0.0.1", getuser(), None, folder / "key", "stack-1", known, ssh_port=self.port)

    def cut(self) -> None:
        """Drop every connection, without a word."""
        for session in self.sessions:
            with suppress(ProcessLookupError):
                os.killpg(session.pid, signal.SIGKILL)
            session.wait()
        self.sessions.clear()


@contextmanager
def sshd(folder: Path, *, more: str = "") -> Iterator[Sshd]:
    """One with keys of its own; `more` is for its sshd_config."""
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    for name in ("home", "run", "apt"):
        (folder / name).mkdir()
    (folder / "config").write_text(CONFIG.format(folder=folder) + more)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd wants it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Sshd(folder, listener.getsockname()[1])
        Thread(target=_serve, args=(listener, running), daemon=True).start()
        try:
            yield running
        finally:
            running.down = True
            running.cut()


def _serve(listener: socket.socket, running: Sshd) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                if not running.down:
                    running.sessions.append(_session(running.folder, connection))


def _session(folder: Path, connection: socket.socket) -> "subprocess.Popen[bytes]":
    command = [SSHD, "-i", "-e", "-f", str(folder / "config")]
    with (folder / "sshd.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=connection.fileno(), stdout=connection.fileno(), stderr=log, start_new_session=True
        )
