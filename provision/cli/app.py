"""The command `provision`: its nouns, its options for every verb, and how a run ends."""

import logging
import os
import sys

import click

from provision import __version__
from provision.cli.cohort import cohort
from provision.cli.demo import demo
from provision.cli.image import image
from provision.cli.lab import lab
from provision.cli.machine import ssh
from provision.errors import ProvisionError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="provision")
@click.option("-v", "--verbose", count=True, help="Show the calls and commands; twice for the libraries' own logs.")
def cli(verbose: int) -> None:
    """Turn a VirtualBox course machine into a class of ready, personal machines on OpenStack."""
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("provision").setLevel(level)
    if verbose > 1:
        logging.getLogger().setLevel(logging.DEBUG)


for command in (lab, image, cohort, ssh, demo):
    cli.add_command(command)


def main() -> None:
    """Run the command line. Every error ends here, with its message, its hint and its exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except ProvisionError as error:
        click.secho(f"Error: {error.message}", fg="red", err=True)
        if error.hint:
            click.echo(f"Try:   {error.hint}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. Nothing was lost: run the same command again and it goes on from here.", err=True)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
