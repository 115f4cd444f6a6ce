"""What makes a guest unsafe once it can be reached: identities, keys and passwords that others have, open services."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator

from provision.errors import InvalidInputError
from provision.guests.files import Files, found, lines, text
from provision.guests.findings import (
    CRITICAL,
    FIREWALLS,
    MINOR,
    REMOVED_USERS,
    REPLACED_UNITS,
    SERIOUS,
    WEB_SERVERS_LEFT,
    WEB_SERVERS_OFF,
    Finding,
    in_removed_home,
)
from provision.guests.passwords import has_password, is_open, known_password
from provision.guests.system import System, accounts

# Of the keys that hashicorp/vagrant publishes (keys/vagrant.pub.rsa, .ed25519), as `ssh-keygen -l` shows them.
VAGRANT_KEYS = {"1M4RzhMyWuFS/86uPY/ce2prh/dVTHW7iD2RhpquOZA", "WkvqjnyPAeC0cbPErYiGP9vqHdgL1MqqvPdIe3lvHgI"}
ACCOUNTS_TRIED = 8

_EVERYWHERE = r"(?:0\.0\.0\.0|\*|\[?::\]?)"
_OPEN_WORD = re.compile(rf"(?:^|[\s=\"'])({_EVERYWHERE}(?::\d+)?|--bind_ip_all)(?=$|[\s\"'])")
_STARTS = re.compile(r"^(?:Exec(?:Start|StartPre|StartPost)|Environment)=(.*)$", re.MULTILINE)
_CARETAKERS = re.compile(r"caretaker ALL=\(root\) NOPASSWD: /usr/local/lib/provision/caretake [\w/, ]+$")  # our role's
_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# Settings of services that say where to listen.
_KEY, _IS = r"^[ \t]*", r"[ \t]*=[ \t]*"
_SETTINGS = (
    (
        "PostgreSQL",
        "/etc/postgresql/*/*/postgresql.conf",
        rf"{_KEY}listen_addresses{_IS}'(?:[^',\n]+,)* *{_EVERYWHERE}",
    ),
    ("MySQL", "/etc/mysql/my.cnf", rf"{_KEY}bind-address{_IS}{_EVERYWHERE} *$"),
    ("MySQL", "/etc/mysql/*.d/*.cnf", rf"{_KEY}bind-address{_IS}{_EVERYWHERE} *$"),
    ("MongoDB", "/etc/mongod.conf", rf"{_KEY}bindIp(?:All: *true|: *['\"]?(?:[^,\n]+,)*{_EVERYWHERE})"),
    ("MongoDB", "/etc/mongodb.conf", rf"{_KEY}bind_ip{_IS}{_EVERYWHERE}"),
    ("Redis", "/etc/redis/redis.conf", rf"{_KEY}bind +(?:[^ \n]+ +){{0,9}}?-?{_EVERYWHERE}(?: |$)"),
    ("Elasticsearch", "/etc/elasticsearch/elasticsearch.yml", rf"{_KEY}network\.host: *['\"]?{_EVERYWHERE}"),
    ("OpenRefine", "/etc/openrefine/refine.ini", rf"{_KEY}REFINE_(?:HOST|INTERFACE){_IS}{_EVERYWHERE}"),
)
_JUPYTER = re.compile(
    rf"^[ \t]*(?:c\.\w+\.ip[ \t]*=[ \t]*['\"](?:{_EVERYWHERE})?['\"]|\"ip\"[ \t]*:[ \t]*\"(?:{_EVERYWHERE})?\")", re.M
)
_JUPYTER_FOLDERS = ("/etc/jupyter", "/usr/local/etc/jupyter", "/root/.jupyter", "/home/*/.jupyter")
_JUPYTER_BAKED = "/etc/jupyter/jupyter_server_config.py"


def fixed_machine_id(files: Files, _system: System) -> Iterator[Finding]:
    """A machine-id that every copy shares."""
    paths = [path for path in ("/etc/machine-id", "/var/lib/dbus/machine-id") if _machine_id(files, path)]
    if paths:
        yield Finding(
            "fixed_machine_id",
            MINOR,
            "Every copy has the same machine-id: DHCP servers and journals take them for one machine.",
            tuple(paths),
            True,
            "It empties it; each copy makes its own when it starts.",
        )


def _machine_id(files: Files, path: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}\s*", text(files, path)) is not None


def fixed_host_keys(files: Files, _system: System) -> Iterator[Finding]:
    """SSH host keys that every copy, and everybody with the box, has."""
    keys = tuple(path for path in found(files, "/etc/ssh/ssh_host_*") if not path.endswith(".pub"))
    if keys:
        yield Finding(
            "fixed_host_keys",
            SERIOUS,
            "Every copy has the same SSH host keys: whoever has the box can pose as any student's machine.",
            keys,
            True,
            "It removes them; each copy makes its own when it starts.",
        )


def keys(files: Files, _system: System) -> Iterator[Finding]:
    """Public keys that open an account: the one that Vagrant publishes, and whatever else the box's makers use."""
    held = {path: [_is_public(line) for line in lines(files, path)] for path in _key_files(files)}
    if seen := tuple(path for path, public in held.items() if any(public)):
        yield Finding(
            "vagrant_key",
            SERIOUS,
            "Vagrant's insecure public key is accepted: anybody who reaches the machine can log in.",
            seen,
            True,
            "It removes every user's keys.",
        )
    if seen := tuple(path for path, public in held.items() if not all(public)):
        yield Finding(
            "foreign_key",
            SERIOUS,
            "Keys of the box's makers are accepted: who has their other halves can log in to every copy.",
            seen,
            True,
            "It removes every user's keys.",
        )


def _key_files(files: Files) -> list[str]:
    homes = {"/root", *(account.home.rstrip("/") for account in accounts(files)), *found(files, "/home/*")}
    paths = [path for home in sorted(homes) for path in found(files, f"{home}/.ssh/authorized_keys*")]
    return list(dict.fromkeys([*paths, *found(files, "/etc/ssh/authorized_keys/*")]))


def _is_public(line: str) -> bool:
    for word in line.split():
        try:
            digest = hashlib.sha256(base64.b64decode(word, validate=True)).digest()
        except (binascii.Error, ValueError):
            continue
        if base64.b64encode(digest).decode().rstrip("=") in VAGRANT_KEYS:
            return True
    return False


def passwords(files: Files, _system: System) -> Iterator[Finding]:
    """Accounts whose password is none, or one that everybody tries first."""
    everyone = accounts(files)
    for account in everyone:
        if is_open(account):
            yield _password("empty_password", f"{account.name} needs no password", account.name, account.file)
    problems = []
    for account in [account for account in everyone if has_password(account)][:ACCOUNTS_TRIED]:
        try:
            word = known_password(account)
        except InvalidInputError as exc:
            problems.append(exc.message)
            continue
        if word is not None:
            yield _password("known_password", f"{account.name}'s password is {word!r}", account.name, account.file)
    if problems:
        raise InvalidInputError("; ".join(problems))


def _password(name: str, what: str, account: str, file: str) -> Finding:
    removed = account in REMOVED_USERS
    return Finding(
        name,
        SERIOUS,
        f"{what}: anybody can become this user.",
        (file,),
        removed or account == "root",
        "It removes the account."
        if removed
        else "It locks root."
        if account == "root"
        else "It locks only the course's own user and root; sshd takes no passwords. Lock this one in the box.",
    )


def sudo_without_password(files: Files, _system: System) -> Iterator[Finding]:
    """Who becomes root without a password."""
    # sudo reads no file there with a point in its name.
    paths = ("/etc/sudoers", *(path for path in found(files, "/etc/sudoers.d/*") if "." not in path.rpartition("/")[2]))
    rules = [
        (line.split()[0], path)
        for path in paths
        for line in lines(files, path)
        if "NOPASSWD" in line and not _CARETAKERS.match(line)
    ]
    for removed in (True, False):
        if there := [(who, path) for who, path in rules if (who in REMOVED_USERS) is removed]:
            names = list(dict.fromkeys(who for who, _ in there))
            yield Finding(
                "sudo_without_password",
                SERIOUS,
                f"{', '.join(names[:ACCOUNTS_TRIED])} may become root by sudo without a password.",
                tuple(dict.fromkeys(path for _, path in there)),
                removed,
                "It removes the account."
                if removed
                else "It takes rights of the course's own user and group away. Take others out of the box.",
            )


def other_web_server(files: Files, _system: System) -> Iterator[Finding]:
    """Web servers that start with the guest: there is one public port, and it is for nginx as the course has it."""
    for unit, path in _enabled(files, WEB_SERVERS_LEFT):
        yield Finding(
            "other_web_server",
            CRITICAL,
            f"{unit} starts with it: on port 80 or 443 it keeps the machine's own pages from being served.",
            (path,),
            False,
            "It leaves it. Disable it in the box; an application of the course's listens on a port of 127.0.0.1.",
        )
    for unit, path in _enabled(files, (*WEB_SERVERS_OFF, "nginx.service")):
        yield Finding(
            "other_web_server",
            MINOR,
            f"{unit} starts with it: what it serves from the box will not be served.",
            (path,),
            True,
            "nginx gets the course's settings; another one is turned off for good.",
        )


def other_firewall(files: Files, _system: System) -> Iterator[Finding]:
    """Firewalls besides ours: rules of both would count."""
    for unit, path in _enabled(files, FIREWALLS):
        yield Finding(
            "other_firewall",
            MINOR,
            f"{unit} starts with it: its rules may close the ports that a machine needs.",
            (path,),
            True,
            "It turns it off for good and has rules of its own.",
        )


def _enabled(files: Files, units: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(unit, where that is said) of those units that are started with the guest."""
    for path in found(files, "/etc/systemd/system/*.wants/*.service"):
        if (unit := path.rpartition("/")[2]) in units:
            yield unit, path


def listens_everywhere(files: Files, _system: System) -> Iterator[Finding]:
    """Services that answer on every address; sshd and web servers are meant to."""
    for unit, path, words in _open_units(files):
        yield _listens(unit, path, f"with {words}", unit in REPLACED_UNITS)
    for service, pattern, words in _SETTINGS:
        for path in found(files, pattern):
            if line := re.search(words, text(files, path), re.MULTILINE):
                yield _listens(service, path, f"by {line[0].strip()}", False)
    for folder in _JUPYTER_FOLDERS:
        for path in found(files, f"{folder}/jupyter*_config.*"):
            if line := _JUPYTER.search(text(files, path)):
                replaced = path == _JUPYTER_BAKED or in_removed_home(path)
                yield _listens("Jupyter", path, f"by {line[0].strip()}", replaced)


def _open_units(files: Files) -> Iterator[tuple[str, str, str]]:
    """(unit, file, words) of the enabled units whose commands listen everywhere."""
    wanted = {path.rpartition("/")[2] for path in found(files, "/etc/systemd/system/*.wants/*.service")}
    for unit in sorted(wanted):
        paths = [f"{folder}/{unit}" for folder in _UNITS if unit in files.names(folder)][:1]  # the first one counts
        for path in paths:
            for command in _STARTS.findall(text(files, path).replace("\\\n", " ")):
                if words := _OPEN_WORD.search(command):
                    yield unit, path, words[1]
                    break


def _listens(service: str, path: str, words: str, replaced: bool) -> Finding:
    return Finding(
        "listens_everywhere",
        SERIOUS,
        f"{service} listens on all addresses {words}: who reaches the machine reaches it, and it may ask no password.",
        (path,),
        True,
        "It is replaced or removed." if replaced else "It stays, and the firewall lets nobody else reach it.",
    )


def guest_additions(files: Files, _system: System) -> Iterator[Finding]:
    """VirtualBox's drivers and services."""
    units = found(files, "/etc/systemd/system/*.wants/vbox*.service")
    programs = [path for path in ("/usr/sbin/VBoxService", "/opt/VBoxGuestAdditions*") for path in found(files, path)]
    if units or programs:
        yield Finding(
            "guest_additions",
            MINOR,
            "VirtualBox's guest additions are installed: they do nothing on a cloud but take time when it starts.",
            (*units, *programs),
            False,
            "It leaves them. Remove virtualbox-guest-utils, or run vbox-uninstall-guest-additions, in the box.",
        )
