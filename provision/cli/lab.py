"""`provision lab`: the embedded cloud."""

import json
import sys
from collections.abc import Callable

import click

from provision import paths
from provision.cli.output import format_option, print_rows
from provision.cli.progress import make_progress, progress_option
from provision.errors import InvalidInputError, NotFoundError
from provision.lab.release import DEFAULT, release_names
from provision.workflows import lab as stories

COLUMNS = ("name", "health", "version", "memory_mib")

release_option = click.option(
    "--release", type=click.Choice(release_names()), default=DEFAULT, show_default=True, help="The OpenStack release."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
fake_option = click.option(
    "--fake", is_flag=True, help="Nova's fake driver: hundreds of servers without a guest, for scale tests."
)


@click.group()
def lab() -> None:
    """A real OpenStack on this computer, in one machine of its own."""


@lab.command()
@release_option
@fake_option
@yes_option
@progress_option
def up(release: str, fake: bool, yes: bool, form: str) -> None:
    """Bring the lab up: from nothing, from what is cached, or resuming what was there.

    What it changes on this computer is listed first, asked for, and undone by `provision lab destroy`.
    """
    stories.up(release, make_progress(form), confirm_changes("On this computer the lab will", yes), fake=fake)
    click.echo(
        'The lab is up. Use it with --os-cloud lab, or as the plain client does: eval "$(provision lab env)"', err=True
    )


@lab.command()
@release_option
@format_option
def status(release: str, output: str) -> None:
    """Show each service's health, version and memory, and what guests run on.

    Exit code 1 if a service is not well, 5 if the lab is not running.
    """
    found = stories.status(release)
    rows = [
        {"name": one.name, "health": one.health, "version": one.version, "memory_mib": round(one.memory / 2**20)}
        for one in found.health.services
    ]
    summary: dict[str, object] = {
        "release": found.release,
        "healthy": found.health.ok,
        "acceleration": found.acceleration,
        "acceleration_reason": found.reason,
        "fake": found.fake,
        "guests": found.health.guests,
        "memory_mib": round(found.health.memory / 2**20),
    }
    if output == "json":
        click.echo(json.dumps({**summary, "services": rows}, indent=2))
    else:
        print_rows(rows, output, columns=COLUMNS)
    if output == "table":
        click.echo(_in_words(found))
    if not found.health.ok:
        sys.exit(1)


def _in_words(found: stories.LabStatus) -> str:
    driver = "no real guests (Nova's fake driver)" if found.fake else f"guests on {found.acceleration} ({found.reason})"
    memory = found.health.memory / 2**30
    return f"\nOpenStack {found.title}: {driver}, {found.health.guests} running, {memory:.1f} GiB of memory in all"


@lab.command()
def env() -> None:
    """Print what makes the plain openstack client use the lab.

    Use it as: eval "$(provision lab env)". Undo it with: unset OS_CLIENT_CONFIG_FILE OS_CLOUD. Your own clouds.yaml
    stays as it is. Set OS_CLOUD to lab-admin for the administrator, or lab-second for the second project.
    """
    if not paths.lab_clouds_file().exists():
        raise NotFoundError("There is no lab.", hint="Make one with: provision lab up")
    click.echo(f"export OS_CLIENT_CONFIG_FILE={paths.lab_clouds_file()}\nexport OS_CLOUD=lab")


@lab.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("-n", "--lines", default=100, show_default=True, help="How many lines to begin with.")
@release_option
def logs(service: str | None, follow: bool, lines: int, release: str) -> None:
    """Show the journal of the lab, or of one SERVICE as `lab status` names it."""
    stories.become_logs(release, service, follow=follow, lines=lines)


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@release_option
def execute(command: tuple[str, ...], release: str) -> None:
    """Run COMMAND in the lab's machine as root, or a shell. `openstack` there is the administrator's."""
    stories.become_command(release, command or ("bash", "-l"))


@lab.command()
@release_option
@progress_option
def down(release: str, form: str) -> None:
    """Power the lab off. Nothing is lost: `provision lab up` resumes it with its guests."""
    stories.down(release, make_progress(form))


@lab.command()
@release_option
@fake_option
@yes_option
@progress_option
def reset(release: str, fake: bool, yes: bool, form: str) -> None:
    """Delete everything in the lab's cloud and bring it up pristine."""
    stories.reset(release, make_progress(form), confirm_changes("This will", yes), fake=fake)


@lab.command()
@click.option("--keep-cache", is_flag=True, help="Keep the base layer, so that the next `up` installs nothing.")
@yes_option
@progress_option
def destroy(keep_cache: bool, yes: bool, form: str) -> None:
    """Delete the lab and undo what it changed on this computer."""
    stories.destroy(make_progress(form), confirm_changes("This will", yes), keep_cache=keep_cache)


def confirm_changes(opening: str, yes: bool) -> Callable[[list[str]], None]:
    """What shows a list of changes and asks, once; raises click.Abort at a no."""

    def ask(lines: list[str]) -> None:
        if not lines:
            return
        click.echo("\n".join([f"{opening}:", *(f"  - {line}" for line in lines)]), err=True)
        if yes:
            return
        if not sys.stdin.isatty():
            raise InvalidInputError("Nobody is there to say yes.", hint="Add --yes if that is what you want.")
        click.confirm("Go on?", abort=True, err=True)

    return ask
