"""A plain Debian tree with a box's faults, and the roles applied to it: over real ssh, nothing booted yet."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.core.variables import role_variables
from provision.guests.credentials import jupyter_hash, new_key_pair
from provision.guests.lending import lend
from provision.guests.playbooks import Played, play
from provision.guests.tree import HOST, opened_tree, release_of, ssh_settings
from provision.paths import cache_home
from provision.workflows.courses import read_course

MARKER = "not-to-be-left-behind"
WHEEL = "openpyxl"  # it depends on another one
PASSWORD = "bcdf-ghjk-mnpq-rtvw"
PACKAGES = "systemd-sysv,dbus,udev,openssh-server,python3-venv,python3-packaging,iproute2,netbase,ca-certificates,sudo"
VAGRANT = """
useradd --create-home --shell /bin/bash vagrant
echo vagrant:vagrant | chpasswd
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/vagrant.conf
mkdir /home/vagrant/notebooks
echo '{}' >/home/vagrant/notebooks/welcome.ipynb
printf '[Service]\\nExecStart=/bin/false\\n[Install]\\nWantedBy=multi-user.target\\n' \
  | tee /etc/systemd/system/jupyter-notebook.service >/lib/systemd/system/rpcbind.service
systemctl enable jupyter-notebook.service rpcbind.service
for unit in jupyter jupyter-notebook nginx nftables ssh sshd; do
  mkdir -p /etc/systemd/system/$unit.service.d
  printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >/etc/systemd/system/$unit.service.d/box.conf
done
useradd --create-home keeper
useradd --create-home --groups sudo student
printf '%s ALL=(ALL) NOPASSWD: ALL\\n' student %student | tee -a /etc/sudoers >/etc/sudoers.d/student
mkdir /home/keeper/.ssh
printf '%s\\n' 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vagrant' \
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdmZQ== keeper' >/home/keeper/.ssh/authorized_keys
: >/etc/machine-id
"""


@dataclass(frozen=True)
class Applied:
    """A tree to which the roles were applied, and what each run changed."""

    root: Path
    first: Played
    second: Played


@pytest.fixture(scope="session")
def plain_tree() -> Path:
    """A tar of Debian 12, made once and kept."""
    key = hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]
    tree = cache_home() / "trees" / f"bookworm-{key}.tar"
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        unfinished = tree.with_suffix(".new.tar")
        fields = "$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
        listed = subprocess.check_output(
            ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"], text=True
        ).splitlines()
        sources = [line.split(" ", 2)[2] for line in listed if line.startswith("Debian bookworm")]
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
        command += ['--aptopt=Apt::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"']
        subprocess.run([*command, "bookworm", unfinished, *sources], check=True, timeout=600)
        unfinished.rename(tree)
    return tree


@pytest.fixture(scope="session")
def applied(plain_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Applied:
    """The tree after two runs of configure.yml, with package access that is marked wherever it can be."""
    work = tmp_path_factory.mktemp("roles")
    root, lent_folder, keys, wheels = (work / name for name in ("root", "lent", "keys", MARKER))
    for folder in (root, lent_folder, keys, wheels):
        folder.mkdir(mode=0o700)
    root.chmod(0o755)
    subprocess.run(["tar", "--extract", "--file", plain_tree, "--directory", root, "--exclude=./dev/*"], check=True)
    with marked(work, wheels):
        lent = lend(lent_folder, cache_home() / "packages", release_of(root).codename)
    variables = {**role_variables(read_course("demo")[0]), "offline_packages": [WHEEL]}
    with opened_tree(root, lent) as tree:
        tree.run_script(VAGRANT, deadline=60)
        with ssh_settings(tree, keys) as config:
            runs = [play("configure.yml", HOST, config, variables, on_task=lambda _: None) for _ in range(2)]
    return Applied(root, runs[0], runs[1])


@contextmanager
def marked(work: Path, wheels: Path) -> Iterator[None]:
    """This machine's own package access, with the marker in apt's and in pip's configuration."""
    apt = work / "apt.conf"
    apt.write_text(f'Acquire::http::User-Agent "{MARKER}";\n')
    links = f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APT_CONFIG", str(apt))
        patch.setenv("PIP_FIND_LINKS", links)
        yield


@pytest.fixture
def claim(applied: Applied) -> Iterator[str]:
    """Give the tree to a student for one test; the private key."""
    keys = new_key_pair("student")
    place = applied.root / "etc/provision/student.json"
    student = {"student": "s1", "password_hash": jupyter_hash(PASSWORD), "ssh_keys": [keys.public]}
    place.write_text(json.dumps(student))
    place.chmod(0o600)
    yield keys.private
    place.unlink()
    for left in ("etc/jupyter/password", "etc/ssh/authorized_keys/student"):
        (applied.root / left).unlink(missing_ok=True)
