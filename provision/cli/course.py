"""`provision course`: a course's file, begun, checked and described."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.output import print_rows
from provision.cli.progress import make_progress, progress_option

if TYPE_CHECKING:
    from provision.core.course import Course


@click.group()
def course() -> None:
    """Begin a course.toml, check it, and say what may be in it."""


@course.command(short_help="Print the JSON Schema of course.toml.")
def schema() -> None:
    """Print the JSON Schema of course.toml (draft 2020-12), for editors that complete and check it while one types.

    Save it beside course.toml as course.schema.json, and write as its first line: #:schema ./course.schema.json
    """
    from provision.core.course import Course
    from provision.core.toml_schema import file_schema

    click.echo(json.dumps(file_schema(Course), indent=2))


@course.command(short_help="Check a course.toml and say what it means.")
@click.argument("name", metavar="[COURSE]", default="./course.toml")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(name: str, output: str) -> None:
    """Check COURSE (its name, or the path of its course.toml; otherwise the one here) and show what it means.

    Every problem is reported at once, with its line.
    """
    from provision.workflows.courses import read_course

    found, place = read_course(name)
    if output == "json":
        click.echo(json.dumps({"file": str(place), **found.model_dump(mode="json")}, indent=2))
    else:
        rows = [{"what": what, "value": value} for what, value in [("file", str(place)), *_meaning(found)]]
        print_rows(rows, "table", columns=("what", "value"))


def _meaning(found: "Course") -> Iterator[tuple[str, str]]:
    from provision.core.variables import role_variables

    told = role_variables(found)
    machine, user, public = found.machine, found.user, found.public
    yield "course", f"{found.name}: {found.title}"
    yield "box", f"made by {found.box.build}" if found.box.build else f"the file {found.box.file}"
    processors = "1 processor" if machine.vcpus == 1 else f"{machine.vcpus} processors"
    yield "machine", f"at least {processors}, {machine.memory_mb} MiB of memory, a disk of {machine.disk_gb} GiB"
    yield "student works as", f"{user.name}, group {user.group}, home /home/{user.name}"
    yield "folders", ", ".join(f"~/{folder}" for folder in _listed(told["course_user_folders"]))
    yield "notebooks from", f"{user.content} of the box, copied once into ~/{user.folders[0]}, if it exists"
    encrypted = "HTTPS on port 443, port 80 leads there" if public.tls == "own" else "plain HTTP on port 80"
    brought = f", with {public.certificate}" if public.certificate else ""
    yield "public", f"{encrypted}{f', as {public.name}' if public.name else ''}{brought}"
    yield "/", f"JupyterLab; a kernel idle for {found.jupyter.idle_minutes} minutes is ended"
    for page in _pages(told["nginx_proxy_applications"]):
        yield f"/{page['name']}/", f"{page['title']}, from 127.0.0.1:{page['port']}, also at /proxy/{page['port']}/"
    if found.offline.data:
        yield "/data/", f"{found.offline.data} of the box, read-only, behind the login"
    yield "beside JupyterLab", ", ".join(found.jupyter.packages) or "no packages"
    yield "PostgreSQL", ", ".join(found.postgresql.databases) if found.postgresql else "none"
    yield "pip with no network", ", ".join(found.offline.packages) or "no packages"
    if found.offline.proxy:
        yield "proxy", found.offline.proxy


def _listed(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _pages(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


@course.command(short_help="Begin a course: write its course.toml.")
@click.argument("name")
@click.option("--title", help="The course's name as people read it.  [default: NAME]")
@click.option("--box", type=click.Path(path_type=Path), help="Fill it from this disk (.box, .ova ...).")
@click.option("--dry-run", is_flag=True, help="Print it on stdout, and write nothing.")
@progress_option
def init(name: str, title: str | None, box: Path | None, dry_run: bool, form: str) -> None:
    """Write images/NAME/course.toml (NAME/course.toml where there is no images/), with every key explained.

    A file that is there already is never overwritten.
    """
    from provision.workflows.drafts import draft, new_course_file, write_new

    progress = make_progress(form)
    if dry_run:
        click.echo(draft(name, title, box, progress), nl=False)
        return
    place = new_course_file(name)
    write_new(place, draft(name, title, box, progress))
    click.echo(place)
    if box and box.resolve().parent != place.parent.resolve():
        progress.say(f"Put {box.name} beside it, or build with --box {box}.")
    progress.say(f"Look it over, then: provision course check {place}")
