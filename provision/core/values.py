"""What may stand in course.toml and cohort.toml: names, folders, ports ..., with the words for what each must be."""

import ipaddress
import shlex
from collections.abc import Collection
from typing import Annotated

import packaging.requirements
from packaging.requirements import InvalidRequirement
from pydantic import AfterValidator, Field

from provision.core.pool import parse_hours

# No hyphen in a course's name: course, presentation and student are joined by hyphens, and must come apart again.
COURSE = r"^[a-z][a-z0-9]{0,31}$"
LOGIN = r"^[a-z_][a-z0-9_-]{0,31}$"
HOST = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){1,8}$"
DATABASE = r"^[a-z_][a-z0-9_]{0,62}$"
APPLICATION = r"^[a-z][a-z0-9-]{0,31}$"
HOME_FOLDER = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}$"
BOX_FOLDER = r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*){1,16}$"
COURSE_OR_FILE = r"^([a-z][a-z0-9]{0,31}|[^\x00-\x1f]{1,200}\.toml)$"
PRESENTATION = r"^[A-Za-z0-9]{1,16}$"
CIDR_FORM = r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$"
PROXY = r"^https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?/?$"

# What a value must be, by the pattern that it misses.
WORDS = {
    COURSE: "must be 1 to 32 small letters and digits, a letter first (such as tm351)",
    LOGIN: "must be a Linux login name: small letters, digits, _ and -, at most 32",
    HOST: "must be a whole host name in small letters (such as tm351.example.ac.uk)",
    DATABASE: "must be small letters, digits and _, at most 63",
    APPLICATION: "must be small letters, digits and -, a letter first, at most 32",
    HOME_FOLDER: "must be a folder below the home, of letters, digits, '.', '_' and '-': not absolute, without ..",
    BOX_FOLDER: "must be an absolute path of letters, digits, '.', '_' and '-', without .. and no / at its end",
    COURSE_OR_FILE: "must be a course's name (small letters and digits, such as tm351) or the path of its course.toml",
    PRESENTATION: "must be 1 to 16 letters and digits (such as 26J)",
    CIDR_FORM: "must be an IPv4 network such as 192.0.2.0/24 (a single address is ADDRESS/32)",
    PROXY: "must be http://HOST:PORT, without user, password or path",
}

# The bake removes vagrant and locks root; the others are services' own.
SYSTEM_USERS = ("root", "vagrant", "nobody", "daemon", "postgres", "www-data", "sshd")
SYSTEM_DATABASES = ("postgres", "template0", "template1")
# Where Jupyter, nginx or an application of ours already answers.
RESERVED_PATHS = (
    *("api", "custom", "data", "doc", "edit", "files", "healthz", "hub", "kernelspecs", "kernels", "lab", "login"),
    *("logout", "lsp", "metrics", "nbconvert", "nbdime", "nbextensions", "notebooks", "openrefine", "proxy"),
    *("static", "terminals", "tree", "user", "view"),
)
# Who listens there already: a machine's own services, and the two applications that have tables of their own.
TAKEN_PORTS = {22: "ssh", 80: "nginx", 443: "nginx", 3334: "OpenRefine", 5432: "PostgreSQL", 8888: "Jupyter"}
TAKEN_PORTS |= {8899: "nbdime"}
_SHELL = ("&", "&&", "|", "||", ";", "<", ">", ">>", "2>&1")


def _printable(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("must be one line of text that can be printed")
    return value


def _beside(value: str) -> str:
    if not value or value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be a path beside course.toml, not absolute and without ..")
    return value


def _user(value: str) -> str:
    if value in SYSTEM_USERS:
        raise ValueError(f"must be an ordinary user, not {value}")
    return value


def _database(value: str) -> str:
    if value in SYSTEM_DATABASES:
        raise ValueError(f"must be a database of the course's own: {value} is PostgreSQL's")
    return value


def _path(value: str) -> str:
    if value in RESERVED_PATHS:
        raise ValueError(f"is taken: /{value}/ is the machine's own")
    return value


def _port(value: int) -> int:
    if value in TAKEN_PORTS:
        raise ValueError(f"is taken: {TAKEN_PORTS[value]} listens on {value}")
    return value


def _hours(value: str) -> str:
    parse_hours(value)
    return value


def _requirement(value: str) -> str:
    try:
        packaging.requirements.Requirement(value)
    except InvalidRequirement as exc:
        reason = str(exc).partition("\n")[0]
        raise ValueError(f"is no pip requirement (such as pandas>=2): {value!r}: {reason}") from exc
    return value


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as exc:
        raise ValueError("has a quote that is not closed") from exc
    if used := [word for word in words if word in _SHELL]:
        raise ValueError(f"is not run by a shell, which {used[0]} needs: name a script, or use /bin/sh -c '...'")
    return value


def _cidr(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError as exc:
        raise ValueError(f"{WORDS[CIDR_FORM]}, not {value!r}") from exc
    if str(network) != value:
        raise ValueError(f"{value!r} is an address inside of a network: write {network}, or a single address as /32")
    return value


def _not(names: Collection[int | str]) -> dict[str, object]:
    """What a JSON Schema says of values that are taken."""
    return {"not": {"enum": sorted(names, key=str)}}


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Beside = Annotated[Text, AfterValidator(_beside)]
CourseName = Annotated[str, Field(pattern=COURSE)]
LoginName = Annotated[str, Field(pattern=LOGIN, json_schema_extra=_not(SYSTEM_USERS)), AfterValidator(_user)]
HostName = Annotated[str, Field(pattern=HOST)]
HomeFolder = Annotated[str, Field(pattern=HOME_FOLDER)]
BoxFolder = Annotated[str, Field(pattern=BOX_FOLDER)]
ProxyURL = Annotated[str, Field(pattern=PROXY)]
Requirement = Annotated[Text, AfterValidator(_requirement)]
Hours = Annotated[Text, AfterValidator(_hours)]
Command = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_printable), AfterValidator(_command)]
Database = Annotated[str, Field(pattern=DATABASE, json_schema_extra=_not(SYSTEM_DATABASES)), AfterValidator(_database)]
ApplicationName = Annotated[
    str, Field(pattern=APPLICATION, json_schema_extra=_not(RESERVED_PATHS)), AfterValidator(_path)
]
Port = Annotated[int, Field(ge=1, le=65535, json_schema_extra=_not(TAKEN_PORTS)), AfterValidator(_port)]
CourseOrFile = Annotated[str, Field(pattern=COURSE_OR_FILE)]
Presentation = Annotated[str, Field(pattern=PRESENTATION)]
CIDR = Annotated[str, Field(pattern=CIDR_FORM), AfterValidator(_cidr)]
