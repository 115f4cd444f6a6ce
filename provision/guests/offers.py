"""What a guest offers its students: the account they work in, Jupyter, OpenRefine, nbdime, PostgreSQL, other pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from provision.guests.files import Files, found, lines, text
from provision.guests.findings import REMOVED_USERS

FOLDER_OF_BOXES = "/home/vagrant/notebooks"
PEOPLE = range(1000, 60000)  # user ids that Debian gives to people
_SETTING = re.compile(r"^(User|Group|WorkingDirectory|ExecStart)=(.*)$", re.MULTILINE)
_PORT = re.compile(r"(?:--?p(?:ort)?[ =]|--bind[ =]\S*:|127\.0\.0\.1:|0\.0\.0\.0:|localhost:)(\d{4,5})\b")
_NOTEBOOKS = re.compile(r"--(?:notebook-dir|ServerApp\.root_dir|NotebookApp\.notebook_dir)[ =]['\"]?(/[^\s'\"]+)")


@dataclass(frozen=True)
class Service:
    """An enabled unit of the box's own; `user` and `group` "" for root, `port` None if its command names none."""

    name: str
    user: str
    group: str
    command: str
    folder: str
    port: int | None


@dataclass(frozen=True)
class Offers:
    """What there is: `user` and `group` of the students' account, `content` where its notebooks are; "" for none."""

    user: str
    group: str
    content: str
    jupyter: bool
    nbdime: bool
    openrefine: bool
    postgresql: bool
    applications: tuple[Service, ...]


def read_offers(files: Files) -> Offers:
    """What the guest's accounts, packages and enabled units of its own say."""
    services = list(_services(files))
    jupyter = [each for each in services if re.search(r"\bjupyter\b", each.command)]
    nbdime = [each for each in services if "nbdime" in each.command]
    openrefine = [each for each in services if "refine" in each.command.lower()]
    user, group = next(_accounts(files, [*jupyter, *services]), ("", ""))
    return Offers(
        user=user,
        group=group,
        content=_content(files, jupyter),
        jupyter=bool(jupyter),
        nbdime=bool(nbdime) or _is_installed("nbdime", files, jupyter),
        openrefine=bool(openrefine or files.real("/usr/share/openrefine")),
        postgresql=bool(found(files, "/etc/postgresql/*/*/postgresql.conf")),
        applications=tuple(each for each in services if each.port and each not in [*jupyter, *nbdime, *openrefine]),
    )


def _is_installed(package: str, files: Files, services: list[Service]) -> bool:
    """True if the Python of the services, or the system's, has the package."""
    environments = {each.command.partition("/bin/")[0] for each in services} | {"/usr", "/usr/local"}
    folders = ("python3*/site-packages", "python3*/dist-packages")
    places = [f"{each}/lib/{folder}/{package}/__init__.py" for each in sorted(environments) for folder in folders]
    return any(found(files, place) for place in places)


def _services(files: Files) -> Iterator[Service]:
    """The enabled units that no package brought."""
    wanted = {path.rpartition("/")[2] for path in found(files, "/etc/systemd/system/*.wants/*.service")}
    for unit in sorted(wanted & set(files.names("/etc/systemd/system"))):
        content = text(files, f"/etc/systemd/system/{unit}").replace("\\\n", " ")
        said = dict(_SETTING.findall(content))
        command = said.get("ExecStart", "")
        port = _PORT.search(command)
        yield Service(
            unit.removesuffix(".service"),
            said.get("User", ""),
            said.get("Group", ""),
            command,
            said.get("WorkingDirectory", ""),
            int(port[1]) if port else None,
        )


def _accounts(files: Files, services: list[Service]) -> Iterator[tuple[str, str]]:
    """(user, group) of people whom the bake leaves there, those who run services first."""
    groups = {fields[2]: fields[0] for fields in _fields(files, "/etc/group") if len(fields) > 2}
    people = {
        fields[0]: groups.get(fields[3], fields[0])
        for fields in _fields(files, "/etc/passwd")
        if len(fields) > 3 and fields[2].isdigit() and int(fields[2]) in PEOPLE and fields[0] not in REMOVED_USERS
    }
    yield from ((each.user, each.group or people[each.user]) for each in services if each.user in people)
    yield from people.items()


def _fields(files: Files, path: str) -> Iterator[list[str]]:
    return (line.split(":") for line in lines(files, path))


def _content(files: Files, jupyter: list[Service]) -> str:
    """The folder that Jupyter showed, or where boxes keep notebooks; a shared folder of VirtualBox is empty here."""
    named = [match[1] for each in jupyter if (match := _NOTEBOOKS.search(each.command))]
    places = [*named, *(each.folder for each in jupyter), FOLDER_OF_BOXES]
    return next((place.rstrip("/") for place in places if place.startswith("/") and files.names(place)), "")
