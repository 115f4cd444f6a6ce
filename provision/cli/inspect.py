"""`provision image inspect`: what is in a disk file, for people and as JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from provision.cli.convert import FORMS
from provision.cli.progress import make_progress, progress_option
from provision.progress import amount

if TYPE_CHECKING:
    from provision.guests.findings import Finding
    from provision.workflows.inspect import Inspection

_COLOURS = {"critical": "bold red", "serious": "yellow", "minor": "cyan"}
_WHOLE_LINES = 10_000  # columns where there is no terminal: who reads that gets whole lines


@click.command(short_help="What is in a disk, and what is wrong with it.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--from", "source_form", type=click.Choice(FORMS), help="What FILE is, if its content is silent.")
@progress_option
def inspect(file: Path, output: str, source_form: str | None, form: str) -> None:
    """Show what is in FILE (.box, .ova, .vmdk, .vdi, .qcow2, raw): its disk, its guest, and what is wrong with it.

    Nothing is mounted, and root is not needed. Findings are information: the exit code is 0.
    """
    from provision.workflows.inspect import inspect_image

    found = inspect_image(file, make_progress(form), form=source_form)
    if output == "json":
        click.echo(json.dumps(as_json(found), indent=2))
    else:
        _show(found)


def as_json(found: "Inspection") -> dict[str, object]:
    """The result for programs: sizes in bytes; a key is never left out."""
    return {
        "file": found.file,
        "container": found.container,
        "format": found.format,
        "virtual_size": found.virtual_size,
        "data_bytes": found.data_bytes,
        "partition_table": asdict(found.partition_table),
        "volume_groups": [
            {
                "name": group.name,
                "extent_size": group.extent_size,
                "physical_volumes": group.physical_volumes,
                "volumes": [{"name": each.name, "kind": each.kind, "size": each.size} for each in group.volumes],
            }
            for group in found.volume_groups
        ],
        "filesystems": [{"place": each.place, **asdict(each.filesystem)} for each in found.filesystems],
        "bootloaders": [asdict(each) for each in found.bootloaders],
        "guest": asdict(found.system) if found.system else None,
        "offers": asdict(found.offers) if found.offers else None,
        "findings": [asdict(finding) for finding in found.findings],
        "not_looked_into": list(found.unread),
    }


def _show(found: "Inspection") -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WHOLE_LINES
    console.print(_grid(_facts(found)))
    for title, table in (
        (f"Partitions ({found.partition_table.label})", _partitions(found)),
        ("Volumes", _volumes(found)),
        ("Filesystems", _filesystems(found)),
    ):
        if table.row_count:
            console.print(f"\n{title}", style="bold")
            console.print(table)
    _show_lines(console, "Notes", _notes(found))
    _show_lines(console, "Not looked into", found.unread)
    if found.system:
        console.print(f"\n{_count(found.findings)}", style="bold")
    for finding in found.findings:
        _show_finding(console, finding)


def _facts(found: "Inspection") -> Iterator[tuple[str, str]]:
    yield "file", f"{found.file} ({found.container})" if found.container != "file" else found.file
    yield "format", found.format
    yield "virtual size", f"{amount(found.virtual_size)} ({found.virtual_size} bytes)"
    yield "data", f"{amount(found.data_bytes)} ({found.data_bytes} bytes)"
    for loader in found.bootloaders:
        yield f"boot loader ({loader.firmware})", f"{loader.name}, {loader.place}: {loader.detail}".rstrip(": ")
    if not found.bootloaders:
        yield "boot loader", "none"
    if found.system:
        yield "guest", found.system.name or "unknown"
        yield "kernels", ", ".join(found.system.kernels) or "none"


def _partitions(found: "Inspection") -> Table:
    return _table(
        ("number", "start", "size", "type", "name", "active"),
        (
            (str(part.number), str(part.start), amount(part.size), part.kind, part.name, "yes" if part.bootable else "")
            for part in found.partition_table.partitions
        ),
    )


def _volumes(found: "Inspection") -> Table:
    return _table(
        ("group", "volume", "type", "size"),
        (
            (group.name, each.name, each.kind, amount(each.size))
            for group in found.volume_groups
            for each in group.volumes
        ),
    )


def _filesystems(found: "Inspection") -> Table:
    return _table(
        ("place", "type", "label", "size", "used", "free", "uuid"),
        (
            (each.place, kind.kind, kind.label, *map(_size, (kind.size, kind.used, kind.free)), kind.uuid)
            for each in found.filesystems
            for kind in (each.filesystem,)
        ),
    )


def _notes(found: "Inspection") -> list[str]:
    filesystems = [f"{each.place}: {note}" for each in found.filesystems for note in each.filesystem.notes]
    return [*found.partition_table.notes, *filesystems]


def _size(value: int | None) -> str:
    return "" if value is None else amount(value)


def _count(findings: tuple["Finding", ...]) -> str:
    if not findings:
        return "No findings"
    left = sum(not finding.fixed for finding in findings)
    return f"Findings: {len(findings)}, of which the bake fixes {len(findings) - left} and leaves {left}"


def _show_finding(console: Console, finding: "Finding") -> None:
    head = Text.assemble(
        (f"{finding.severity:9}", _COLOURS[finding.severity]),
        (f"{finding.name:22}", "bold"),
        "fixed by the bake" if finding.fixed else "left by the bake",
    )
    console.print(head)
    for line in (finding.meaning, f"Seen in: {', '.join(finding.seen)}", f"Bake: {finding.bake}"):
        console.print(Padding(_clean(line), (0, 0, 0, 9), expand=False))


def _show_lines(console: Console, title: str, lines: Iterable[str]) -> None:
    words = [f"  {_clean(line)}" for line in lines]
    if words:
        console.print(f"\n{title}", style="bold")
        console.print("\n".join(words))


def _grid(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*map(_clean, row))
    return table


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(_clean, row))
    return table


def _clean(text: str) -> str:
    """What a disk says must not reach the terminal as anything but text."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
