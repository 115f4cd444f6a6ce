"""Whose a machine is: `claim` and `password`.

The record is the student's file, which first boot applies at every boot, and its renaming is the moment at which the
machine changes hands: killed before, nothing was changed; killed after, asking again or a boot completes it.
"""

from __future__ import annotations

import json
import os
import re
import socket
from typing import Any

from caretaking.common import (
    FIRST_BOOT,
    NOBODYS,
    TAKEN,
    WRONG,
    Refused,
    Settings,
    end_sessions,
    locked,
    owner,
    record,
    start_services,
    systemctl,
    write,
)

HASH = re.compile(r"argon2:\$argon2id\$[A-Za-z0-9+/=$,]{1,200}")
STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,51}[A-Za-z0-9])?")
KEY = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{1,8000}={0,2}( [^\r\n]{0,200})?")
KEYS = 20


def claim(settings: Settings, sent: dict[str, Any]) -> dict[str, Any]:
    """Make the machine the student's, and end all that was begun before. The same again changes nothing."""
    wanted = checked(sent)
    hostname = wanted.pop("hostname", None)
    with locked():
        now = owner(settings)
        if now not in ("", wanted["student"]):
            raise Refused(TAKEN, f"it is {now}'s machine, and stays so")
        changed = _become(settings, wanted)
        if hostname:
            _call_itself(hostname)
    return {"student": wanted["student"], "changed": changed}


def password(settings: Settings, sent: dict[str, Any]) -> dict[str, Any]:
    """Another password for the student whose machine it is; whoever signed in with the old one is out."""
    if set(sent) != {"password_hash"} or not _fits(HASH, sent["password_hash"]):
        raise Refused(WRONG, "what was sent is not a password_hash alone, as Jupyter Server takes it")
    with locked():
        now = owner(settings)
        if not now:
            raise Refused(NOBODYS, "it is nobody's machine yet, and has no password")
        return {"student": now, "changed": _become(settings, sent)}


def checked(sent: dict[str, Any]) -> dict[str, Any]:
    """A claim in which everything is what it should be; every problem is said."""
    problems = [f"no {name} is known" for name in sorted(set(sent) - {*_CHECKS, "hostname"})]
    problems += [f"{name} {what}" for name, (good, what) in _CHECKS.items() if not good(sent.get(name))]
    if sent.get("hostname") is not None and not _fits(HOSTNAME, sent["hostname"]):
        problems.append("hostname is no name of a host")
    if problems:
        raise Refused(WRONG, "; ".join(problems))
    return dict(sent)


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


_CHECKS = {
    "student": (lambda value: _fits(STUDENT, value), "is no student's id"),
    "password_hash": (lambda value: _fits(HASH, value), "is not what Jupyter Server takes"),
    "ssh_keys": (
        lambda value: isinstance(value, list) and len(value) <= KEYS and all(_fits(KEY, each) for each in value),
        f"is no list of at most {KEYS} public keys",
    ),
}


def _become(settings: Settings, wanted: dict[str, Any]) -> bool:
    """The record with what is wanted, and the machine as the record says; whether anything had to be changed."""
    before = record(settings)
    after = {**before, **wanted}
    if after == before and _applied(settings, after):
        start_services(settings)
        return False
    end_sessions(settings)
    if after != before:
        write(settings.student_file, json.dumps(after, sort_keys=True), 0o600)
    systemctl("restart", FIRST_BOOT)
    start_services(settings)
    return True


def _applied(settings: Settings, wanted: dict[str, Any]) -> bool:
    """Whether first boot did its part for this record, which it ends with the password."""
    keys = "".join(key.strip() + "\n" for key in wanted["ssh_keys"])
    holds = {settings.password_file: wanted["password_hash"] + "\n", f"{settings.keys_folder}/{settings.user}": keys}
    return os.path.exists(settings.cookie_file) and all(_holds(path, text) for path, text in holds.items())


def _holds(path: str, text: str) -> bool:
    try:
        with open(path) as stream:
            return stream.read() == text
    except FileNotFoundError:
        return False


def _call_itself(hostname: str) -> None:
    """cloud-init sets a name again only when the cloud's own has changed."""
    if not _holds("/etc/hostname", hostname + "\n"):
        write("/etc/hostname", hostname + "\n", 0o644)
    socket.sethostname(hostname)
