"""What the verbs of one machine share: how it is named, and who that is on which cloud."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli.options import cohort_cloud_option, handout_option

if TYPE_CHECKING:
    from provision.cloud.connection import Connection
    from provision.guests.access import Access
    from provision.workflows.orders import CohortFile, Order

_WHOSE = "[COHORT] [STUDENT]"
jump_option = click.option("--jump", metavar="HOST", help="A host on the way, as ssh's ProxyJump (USER@HOST:PORT).")


class Verb(click.Command):
    """click's own way to leave alone what follows --, which is to inherit: it is for the machine."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words behind -- away before click reads the rest."""
        if "--" in args:
            place = args.index("--")
            args, ctx.meta["provision.remote"] = args[:place], tuple(args[place + 1 :])
        return super().parse_args(ctx, args)


def remote_words(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """COHORT and STUDENT, and the command for the machine: what follows --, or them both."""
    remote = click.get_current_context().meta.get("provision.remote", ())
    return words[:2], (*words[2:], *remote)


def verb(name: str, short: str, *, remote: bool = False) -> Callable[[Callable[..., None]], click.Command]:
    """A verb on the machine that [COHORT] [STUDENT] name; `remote`: with a command for it."""

    def decorate(function: Callable[..., None]) -> click.Command:
        metavar = f"{_WHOSE} [-- COMMAND]" if remote else _WHOSE
        words = click.argument("words", nargs=-1, metavar=metavar, callback=None if remote else _at_most_two)
        for wrap in (cohort_cloud_option, handout_option, words):
            function = wrap(function)
        return click.command(name, short_help=short, cls=Verb if remote else None)(function)

    return decorate


def _at_most_two(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > 2:
        raise click.UsageError(f"{' '.join(words[2:])!r} is too much: COHORT and STUDENT name a machine.")
    return words


@dataclass(frozen=True)
class Named:
    """The student's machine that was named, and where it is looked for."""

    file: "CohortFile"
    student: str
    cloud: str | None

    def connect(self) -> "Connection":
        """Where the machine is, or is to be: in the student's project, if the student has one, or in that of all."""
        from provision.workflows.tenancy import home_of

        if self.file.said.cloud.tenancy == "one project":
            return self.outside()
        return home_of(self.outside(), self._order(without_roster=True), self.student)

    def outside(self) -> "Connection":
        """The cloud of the cohort, or the one that was given, in the project of who asks."""
        from provision.cloud.connection import connect

        return connect(self.cloud or self.file.said.cloud.name)

    def order(self, *, stands: bool = False) -> "Order":
        """All that cohort.toml and roster say.

        Where the machine `stands` already, its student needs no roster; and all is in the project that it is in.
        """
        order = self._order(without_roster=stands)
        return replace(order, tenancy=None) if stands else order

    def _order(self, *, without_roster: bool) -> "Order":
        from provision.core.roster import Student
        from provision.workflows.orders import read_order

        without = without_roster and not (self.file.place.parent / self.file.said.cohort.roster).is_file()
        return read_order(self.file, known=(Student(self.student, self.student, ""),) if without else ())

    def access(self, connection: "Connection") -> "Access":
        """The student's own way in."""
        from provision.workflows.labels import read_labels
        from provision.workflows.machine import find_machine

        labels = read_labels(self.file.said.cohort.privacy, self.file.folder, [self.student])
        return find_machine(connection, self.file.cohort, self.student, self.file.folder, labels)


def named(words: tuple[str, ...], cloud: str | None, folder: Path | None) -> Named:
    """The machine that was named; a word about it where something was left out."""
    from provision.workflows.chosen import choose

    chosen = choose(words, folder)
    if len(words) < 2:
        click.echo(f"{chosen.file.cohort} {chosen.student}", err=True)
    return Named(chosen.file, chosen.student, cloud)


def deadline_option(default: int) -> Callable[[Any], Any]:
    """How long the verb may take."""
    help_ = "How long it may take."
    kind = click.FloatRange(min=1)
    return click.option("--deadline", type=kind, default=default, show_default=True, metavar="SECONDS", help=help_)
