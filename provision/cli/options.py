"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path

import click

cloud_option = click.option(
    "--os-cloud",
    "cloud",
    metavar="NAME",
    help="The cloud, as clouds.yaml names it; lab is the embedded one. [OS_CLOUD]",
)
cohort_cloud_option = click.option("--os-cloud", "cloud", metavar="NAME", help="Another cloud than cohort.toml's.")
handout_option = click.option(
    "--handout",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder with passwords and keys.  [default: handouts/COURSE-PRESENTATION beside cohort.toml]",
)
roster_type = click.Path(dir_okay=False, path_type=Path)
roster_option = click.option("--roster", type=roster_type, help="Other students than those of cohort.toml's roster.")
image_option = click.option(
    "--image", metavar="IMAGE", help="Another image than cohort.toml's: an id, a name, or a build."
)
flavor_option = click.option("--flavor", metavar="NAME", help="Another flavor than cohort.toml's.")
network_option = click.option("--external-network", "network", metavar="NAME", help="Another than cohort.toml's.")
stack_limit_option = click.option(
    "--stack-limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many stacks Heat lets the project have, as the operator says, if not 512 or what cohort.toml says.",
)


def cohort_verb(group: click.Group, name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A verb of `group` on COHORT, the path of a cohort.toml or of the folder that holds it."""

    def decorate(function: Callable[..., None]) -> click.Command:
        for wrap in (cohort_cloud_option, handout_option, click.argument("cohort", metavar="COHORT")):
            function = wrap(function)
        return group.command(name)(function)

    return decorate
