"""Folders of packages, served to a running guest that cannot have them mounted: read-only, on the loopback alone."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Handler(SimpleHTTPRequestHandler):
    """The standard library's own way to choose what is served, which is to inherit."""

    def __init__(self, folders: tuple[Path, ...], *args: object) -> None:
        self.folders = folders
        super().__init__(*args, directory="/")  # type: ignore[arg-type] # what the server passes on, as it is

    def translate_path(self, path: str) -> str:
        """The file that is meant, by its own name here; what is in none of the folders is not there."""
        meant = Path("/") / super().translate_path(path)
        inside = any(meant.resolve().is_relative_to(folder.resolve()) for folder in self.folders)
        return str(meant) if inside else "/dev/null/nothing"  # below what is no folder, so that nobody can make it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the library gives it
        """Say nothing: pip itself tells."""


@contextmanager
def served(folders: Sequence[Path]) -> Iterator[int]:
    """Serve the folders by their own names for as long as the context lasts; the port."""
    handler = partial(_Handler, tuple(folders))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
