"""The command `provision`: its nouns, its options for every verb, and how a run ends."""

import importlib
import logging
import os
import sys

import click

from provision import __version__
from provision.errors import ProvisionError

# Each where it is defined. Loaded when it is asked for: what one verb needs, the others do not wait for.
COMMANDS = {
    "lab": "provision.cli.lab",
    "course": "provision.cli.course",
    "image": "provision.cli.image",
    "cohort": "provision.cli.cohort",
    **dict.fromkeys(("up", "ssh", "ssh-config"), "provision.cli.machine"),
    **dict.fromkeys(("open", "tunnel"), "provision.cli.machine_tunnel"),
    **dict.fromkeys(("status", "halt", "resume", "destroy"), "provision.cli.machine"),
    "snapshot": "provision.cli.machine_snapshot",
    "diagnose": "provision.cli.machine",
    "demo": "provision.cli.demo",
}


class _Commands(click.Group):
    """click's own way to load commands late, which is to inherit."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name])
        # Some have the name of one of Python's own functions.
        command: click.Command = getattr(module, f"{name}_command", None) or getattr(module, name.replace("-", "_"))
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="provision")
@click.option("-v", "--verbose", count=True, help="Show the calls and commands; twice for the libraries' own logs.")
def cli(verbose: int) -> None:
    """Turn a VirtualBox course machine into a class of ready, personal machines on OpenStack."""
    level = logging.DEBUG if verbose else logging.WARNING
    shown = logging.StreamHandler(sys.stderr)
    shown.setLevel(level)  # what a build writes into its log is not shown by that
    logging.basicConfig(handlers=[shown], format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("provision").setLevel(level)
    if verbose > 1:
        logging.getLogger().setLevel(logging.DEBUG)


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
