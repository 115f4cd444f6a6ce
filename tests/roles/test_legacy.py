"""What a running guest is lent for a bake: it works there, it is seen by nothing else, and nothing of it stays."""

import subprocess
import time
from pathlib import Path

from provision.guests.legacy import BAKE_SSH, CACHE, OFF, QUIET, entry, seen_from_inside
from provision.guests.lending import lend
from provision.guests.tree import HOST, write_ssh
from tests.roles.conftest import MARKER, marked
from tests.roles.container import BOOT_SECONDS, Container, booted

ASKED = """
id -un
env | grep -E '^(PIP_FIND_LINKS|SYSTEMD_OFFLINE)='
cat /usr/sbin/policy-rc.d
head -1 /etc/pam.d/sshd
touch /run/provision/lent-cache/pip/package
apt-config dump Acquire::http::User-Agent
"""


def within(machine: Container, script: str) -> str:
    words = ["nsenter", "--target", str(machine.leader), "--all", "/bin/sh", "-eu"]
    return subprocess.run(words, input=script, capture_output=True, text=True, check=True, timeout=120).stdout


def ssh(machine: Container, config: Path, script: str) -> str:
    words = ["nsenter", "--target", str(machine.leader), "--net", "ssh", "-F", str(config), HOST, "/bin/sh", "-eu"]
    return subprocess.run(words, input=script, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_bake_is_let_in_and_nothing_of_it_stays(plain_tree: Path, tmp_path: Path) -> None:
    root, lent_folder, keys, wheels = (tmp_path / name for name in ("root", "lent", "k", MARKER))
    for folder in (root, lent_folder, keys, wheels):
        folder.mkdir(mode=0o700)
    root.chmod(0o755)
    subprocess.run(["tar", "--extract", "--file", plain_tree, "--directory", root, "--exclude=./dev/*"], check=True)
    with marked(tmp_path, wheels):
        lent = lend(lent_folder, tmp_path / "cache", "bookworm")
    config = write_ssh(seen_from_inside(lent, 8000), keys, "HostName 127.0.0.1", f"Port {BAKE_SSH}")
    with booted(root) as machine:
        within(machine, entry(lent))
        said = _when_it_answers(machine, config)
        assert said.startswith("root\n")
        assert f"PIP_FIND_LINKS=http://10.0.2.2:8000{wheels}/" in said
        assert "SYSTEMD_OFFLINE=1" in said
        assert "exit 101" in said
        assert "pam_deny" in said
        assert MARKER in said
        assert (root / "usr/sbin/policy-rc.d").read_text() == ""  # the guest's own view of it
        assert (root / CACHE.lstrip("/") / "pip/package").exists()
        ssh(machine, config, QUIET.replace("systemctl", "env -u SYSTEMD_OFFLINE systemctl"))
        ssh(machine, config, f"unset SYSTEMD_OFFLINE\n{OFF}")
        _await_end(machine)
    words = (MARKER.encode(), b"/run/provision/lent", b"provision-bake")
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    logs = root / "var/log"
    assert [
        path for path in files if any(word in path.read_bytes() for word in words) if logs not in path.parents
    ] == []
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not (root / CACHE.lstrip("/")).exists()


def _when_it_answers(machine: Container, config: Path) -> str:
    end = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            return ssh(machine, config, ASKED)
        except subprocess.CalledProcessError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def _await_end(machine: Container) -> None:
    end = time.monotonic() + BOOT_SECONDS
    while Path(f"/proc/{machine.leader}").exists():
        assert time.monotonic() < end, "it did not switch itself off"
        time.sleep(0.2)
