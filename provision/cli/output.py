"""Results on stdout: a table for people, JSON and CSV for programs."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="The form of the result.",
)


def print_rows(rows: Sequence[Mapping[str, object]], output: str, *, columns: Sequence[str]) -> None:
    """Print `rows` (one mapping each, with at least `columns`) as a table, a JSON list or CSV with a header."""
    if output == "json":
        click.echo(json.dumps([{column: row.get(column) for column in columns} for row in rows], indent=2, default=str))
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(row.get(column)) for column in columns] for row in rows)
    else:
        table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(_text(row.get(column)) for column in columns))
        console = Console(highlight=False, markup=False)
        console.print(table, soft_wrap=not console.is_terminal)


def _text(value: object) -> str:
    return "" if value is None else str(value)
