"""Options that several commands share."""

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
