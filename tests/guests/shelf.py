"""A guest's files as a test writes them down."""

from collections.abc import Iterator, Mapping

from provision.errors import InvalidInputError

LINKS = 40


class Link(str):
    """What a symbolic link leads to."""

    __slots__ = ()


class Shelf:
    """The files of a dictionary: contents and links by their paths."""

    def __init__(self, files: Mapping[str, bytes | Link]) -> None:
        self.files = dict(files)

    def read(self, path: str, limit: int) -> bytes | None:
        content = self.files.get(self.real(path) or "")
        if content is not None and len(content) > limit:
            raise InvalidInputError("longer than is read")
        return bytes(content) if isinstance(content, bytes) else None

    def stream(self, path: str) -> Iterator[bytes]:
        content = self.read(path, 2**30) or b""
        return (content[place : place + 1000] for place in range(0, len(content), 1000))

    def names(self, path: str) -> tuple[str, ...]:
        folder = (self.real(path) or "/nowhere").rstrip("/") + "/"
        inside = {name.removeprefix(folder).split("/")[0] for name in self.files if name.startswith(folder)}
        return tuple(sorted(inside))

    def real(self, path: str) -> str | None:
        here = ""
        parts, followed = path.split("/")[::-1], 0
        while parts:
            part = parts.pop()
            if not part:
                continue
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            target = self.files.get(f"{here}/{part}")
            if isinstance(target, Link):
                followed += 1
                if followed > LINKS:
                    return None
                here = "" if target.startswith("/") else here
                parts.extend(target.split("/")[::-1])
            else:
                here = f"{here}/{part}"
        there = any(name == here or name.startswith(f"{here}/") for name in self.files)
        return here or "/" if there else None
