"""`provision demo`: all of it, end to end, on the embedded cloud."""

import time

import click

from provision.cli.cohort import print_outcomes
from provision.cli.lab import confirm_changes, yes_option
from provision.cli.progress import make_progress, progress_option

NEXT = """
{minutes:.1f} minutes. Each machine was proved from outside: its student's own password signs in and a wrong one does
not, a cell runs over the websocket, the student's key opens a shell, Vagrant's key and every password do not.

The addresses above open in a browser on this machine; passwords and keys are in {folder}/. What to type next:
  provision ssh {cohort} ada
  provision cohort status {cohort}
  provision cohort delete {cohort}
  provision lab status
  provision lab destroy"""


@click.command(short_help="All of it, end to end, on the embedded cloud.")
@yes_option
@progress_option
def demo(yes: bool, form: str) -> None:
    """Bring up a real cloud, turn a VirtualBox box into its image, launch two students' machines, prove each ready.

    Everything happens on this computer, and needs root. Running it again is safe: it goes on from what is there.
    """
    from provision.workflows.demo import COHORT, run_demo

    started = time.monotonic()
    confirm = confirm_changes("On this computer the lab will", yes)
    shown = run_demo(make_progress(form), confirm)
    print_outcomes(shown.outcomes, "table")
    minutes = (time.monotonic() - started) / 60
    click.echo(NEXT.format(minutes=minutes, folder=shown.folder, cohort=COHORT), err=True)
