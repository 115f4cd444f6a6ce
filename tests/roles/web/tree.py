"""A Debian tree with every role of the web on it, made again when a role changes and kept until then."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from provision.guests.credentials import jupyter_hash
from provision.guests.lending import lend
from provision.guests.playbooks import Played, play
from provision.guests.tree import HOST, opened_tree, release_of, ssh_settings
from provision.paths import cache_home, data_path

PASSWORD = "bcdf-ghjk-mnpq-rtvw"
ROLES = ("course_user", "jupyter", "openrefine", "nbdime", "application", "nginx_proxy", "ssh_keys", "first_boot")
# apt's part of the work, done once for every state that the roles are in.
PACKAGES = (
    "systemd-sysv,dbus,udev,openssh-server,python3-venv,python3-packaging,iproute2,netbase,ca-certificates,sudo,"
    "nginx-light,openrefine,openssl,git"
)
ECHO = Path(__file__).with_name("echo.py")
APPLICATIONS = (
    {"name": "openrefine", "title": "OpenRefine", "port": 3334},
    {"name": "nbdime", "title": "nbdime", "port": 8899},
    {"name": "echo", "title": "Echo & co", "port": 8000},
)
VARIABLES: Mapping[str, object] = {
    "course_user_name": "student",
    "course_user_folders": ["notebooks", "work/own", "openrefine-projects"],
    "course_user_group": "student",
    "jupyter_user": "student",
    "jupyter_group": "student",
    "openrefine_user": "student",
    "openrefine_group": "student",
    "openrefine_memory_mb": 256,
    "application_user": "student",
    "application_group": "student",
    "application_list": [{**APPLICATIONS[2], "command": "/opt/jupyter/bin/python /srv/echo.py"}],
    "nginx_proxy_applications": APPLICATIONS,
    "nginx_proxy_data": "/srv/course-data",
    "nginx_proxy_tls": "none",
    "first_boot_user": "student",
    "first_boot_group": "student",
    "ssh_keys_allowed_users": ["student"],
}
OURS = (
    "rm -f /etc/nginx/sites-enabled/default; mkdir -p /srv/course-data; echo 'a,b' >/srv/course-data/table.csv;"
    "cat >/srv/echo.py; : >/etc/machine-id; cd /etc/systemd/system;"
    "for unit in jupyter openrefine nbdime nginx; do mkdir $unit.service.d;"
    "printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >$unit.service.d/box.conf; done"
)


def ensure_web_tree() -> Path:
    """A tar of the tree after one run of the roles as they are now."""
    state = hashlib.sha256(f"{VARIABLES} {OURS} {ECHO.read_text()} {_packages()}".encode())
    for path in sorted(path for role in ROLES for path in data_path("roles").glob(f"{role}/**/*") if path.is_file()):
        state.update(f"{path.relative_to(data_path('roles'))}\n".encode() + path.read_bytes())
    tar = _shelf() / f"web-roles-{state.hexdigest()[:12]}.tar"
    if not tar.exists():
        for old in _shelf().glob("web-roles-*.tar"):
            old.unlink()
        _kept(tar, _play_into)
    return tar


def extract(tar: Path, root: Path) -> None:
    """Unpack a tree into a new folder."""
    root.mkdir(mode=0o755)
    subprocess.run(["tar", "--extract", "--file", tar, "--directory", root, "--exclude=./dev/*"], check=True)


@contextmanager
def opened(root: Path, work: Path) -> Iterator[Callable[[Iterable[str], Mapping[str, object]], Played]]:
    """A function that plays roles with variables on the tree at `root`; `work` is a folder to be made."""
    for folder in (work / "lent", work / "keys"):
        folder.mkdir(mode=0o700, parents=True)
    lent = lend(work / "lent", cache_home() / "packages", release_of(root).codename)
    with opened_tree(root, lent) as tree, ssh_settings(tree, work / "keys") as config:

        def run(roles: Iterable[str], variables: Mapping[str, object]) -> Played:
            playbook = work / "playbook.json"  # JSON is YAML, too
            playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": list(roles)}]))
            return play(str(playbook), HOST, config, variables, on_task=lambda _: None)

        yield run


def give(root: Path) -> None:
    """What the cloud would write into a tree that is a student's."""
    student = {"student": "s1", "password_hash": jupyter_hash(PASSWORD), "ssh_keys": []}
    (root / "etc/provision/student.json").write_text(json.dumps(student))


def _shelf() -> Path:
    return cache_home() / "trees"


def _packages() -> str:
    return hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]


def _play_into(tar: Path) -> None:
    work = tar.with_suffix(".work")
    subprocess.run(["rm", "-rf", work], check=True)
    work.mkdir(mode=0o700)
    root = work / "root"
    extract(_kept(_shelf() / f"web-base-{_packages()}.tar", _debian), root)
    subprocess.run(["chroot", root, "sh", "-euc", OURS], input=ECHO.read_bytes(), check=True)
    with opened(root, work / "play") as run:
        run(ROLES, VARIABLES)
    subprocess.run(["tar", "--create", "--file", tar, "--directory", root, "."], check=True)
    subprocess.run(["rm", "-rf", work], check=True)


def _debian(tar: Path) -> None:
    fields = "$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    listed = subprocess.check_output(command, text=True).splitlines()
    sources = [line.split(" ", 2)[2] for line in listed if line.startswith("Debian bookworm")]
    options = ["--quiet", "--variant=minbase", f"--include={PACKAGES}"]
    options += ['--aptopt=Apt::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"']
    subprocess.run(["mmdebstrap", *options, "bookworm", tar, *sources], check=True, timeout=600)


def _kept(tar: Path, make: Callable[[Path], None]) -> Path:
    """`tar`, made if it is not there; never seen unfinished."""
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        unfinished = tar.with_suffix(".new.tar")
        make(unfinished)
        unfinished.rename(tar)
    return tar
