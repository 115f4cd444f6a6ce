"""What lending makes in a tree, and that it is gone afterwards; what makes a tree one machine, and that it goes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from provision.guests.generalise import generalise
from provision.guests.lending import Lent, lend
from provision.guests.tree import opened_tree, release_of
from provision.paths import cache_home
from tests.roles.web.tree import extract

KEYS = [f"{home}/.ssh/authorized_keys" for home in ("root", "home/keeper", "home/gone", "srv/far")]
KEYS += ["home/keeper/.ssh/authorized_keys2", "etc/ssh/authorized_keys/student"]
HOST_KEYS = ["etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub"]
TRACES = ["root/.bash_history", "home/keeper/.bash_history", "var/tmp/left"]
OTHERS_LOG = "var/log/database/main.log"  # as Debian has PostgreSQL's
KEPT = {"etc/machine-id": "", "etc/hostname": "localhost\n", "var/log/wtmp": "", OTHERS_LOG: ""}
PROTECTED = Path("/proc/sys/fs/protected_regular")


def lent_to(root: Path, tmp_path: Path) -> Lent:
    folder = tmp_path / "lent"
    folder.mkdir()
    return lend(folder, cache_home() / "packages", release_of(root).codename)


@contextmanager
def guarded() -> Iterator[None]:
    """With the kernel's guard of files in folders with the sticky bit, which a booted Debian has on (proc(5))."""
    before = PROTECTED.read_text()
    PROTECTED.write_text("2")
    try:
        yield
    finally:
        PROTECTED.write_text(before)


def test_what_makes_it_one_machine_is_taken_out(plain_tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    extract(plain_tree, root)
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text() + "far:x:1001:1001::/srv/far:/bin/sh\n")
    brought = [root / name for name in (*KEYS, *HOST_KEYS, *TRACES, *KEPT)]
    for path in brought:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{'1cb508aac4274df9' * 2}\n")  # of them all a machine-id alone must be sound
    os.chown(root / OTHERS_LOG, 1001, 1001)
    (root / OTHERS_LOG).parent.chmod(0o1775)
    with opened_tree(root, lent_to(root, tmp_path)) as tree, guarded():
        generalise(tree)
    left = {str(path.relative_to(root)): path.read_text() for path in brought if path.exists()}
    assert left == KEPT


def test_two_folders_below_one_that_the_tree_has_not_leave_nothing(plain_tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    extract(plain_tree, root)
    lent = lent_to(root, tmp_path)
    mounts = tuple((tmp_path, f"/mirror/deep/{name}", False) for name in ("wheels", "index"))
    with opened_tree(root, replace(lent, mounts=(*lent.mounts, *mounts))) as tree:
        assert tree.run_script("ls /mirror/deep", deadline=60).split() == ["index", "wheels"]
    assert not (root / "mirror").exists()
