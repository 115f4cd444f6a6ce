"""Results on stdout: a table for people, JSON and CSV for programs."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Column, Table

ENDLESS = 10_000  # columns: in a pipe or a file a row is a line, however long

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
        # Folded, not cut: an id is there to be copied.
        heads = (Column(column.replace("_", " "), overflow="fold") for column in columns)
        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(_text(row.get(column)) for column in columns))
        Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else ENDLESS).print(table)


def _text(value: object) -> str:
    return "" if value is None else str(value)
