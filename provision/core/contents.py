"""What is in a build, and what differs between two."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from provision.errors import InvalidInputError


class Contents(BaseModel):
    """A build's contents.json: versions by name, enabled units, listening addresses, files with sum or size, bytes."""

    model_config = ConfigDict(frozen=True)

    packages: dict[str, str] = {}
    pip: dict[str, str] = {}
    services: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    files: dict[str, str | int] = {}
    size: int = 0


@dataclass(frozen=True)
class Change:
    """One thing that differs. `kind` is package, pip, service, port, file or size; None: it is not there."""

    kind: str
    name: str
    before: str | int | None
    after: str | int | None

    @property
    def change(self) -> str:
        """added, removed or changed."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def parse_contents(text: str, place: str) -> Contents:
    """The contents in a JSON text; `place` names it in messages. Raises InvalidInputError if it is something else."""
    try:
        return Contents.model_validate_json(text)
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the whole"
        raise InvalidInputError(
            f"{place} is no list of a build's contents: {where}: {problem['msg']}.", hint="Build it again."
        ) from exc


def diff_contents(before: Contents, after: Contents) -> tuple[Change, ...]:
    """What is added, removed or changed from `before` to `after`, by kind, then by name."""
    return tuple(change for kind, old, new in _kinds(before, after) for change in _differences(kind, old, new))


def _kinds(before: Contents, after: Contents) -> Iterator[tuple[str, Mapping[str, str | int], Mapping[str, str | int]]]:
    yield "package", {**before.packages}, {**after.packages}
    yield "pip", {**before.pip}, {**after.pip}
    yield "service", dict.fromkeys(before.services, "enabled"), dict.fromkeys(after.services, "enabled")
    yield "port", dict.fromkeys(before.ports, "open"), dict.fromkeys(after.ports, "open")
    yield "file", before.files, after.files
    yield "size", {"bytes": before.size}, {"bytes": after.size}


def _differences(kind: str, old: Mapping[str, str | int], new: Mapping[str, str | int]) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Change(kind, name, old.get(name), new.get(name))
