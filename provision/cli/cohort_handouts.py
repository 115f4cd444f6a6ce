"""`provision cohort handouts`: the letters to students, filled again."""

from pathlib import Path

import click

from provision.cli.options import handout_option


@click.command(short_help="Fill each student's letter again, from another template or for a mended one.")
@click.argument("cohort", metavar="COHORT")
@handout_option
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Another Jinja2 template than cohort.toml's: .html, or anything else for plain text.")  # fmt: skip
def handouts(cohort: str, folder: Path | None, template: Path | None) -> None:
    """Write a letter for each student of COHORT who has a ready machine: its URL, first password, how to get help.

    A launch writes them, too, and so does all that changes a URL. No cloud is asked.
    """
    from provision.workflows.letters import letters_folder, write_letters
    from provision.workflows.orders import read_cohort, read_order

    file = read_cohort(cohort, folder)
    count = write_letters(file.folder, read_order(file, template=template))
    click.echo(f"{count} in {letters_folder(file.folder)}")
    if not count:
        click.echo("Who has no proved URL has no letter: provision cohort launch COHORT", err=True)
