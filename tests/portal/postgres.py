"""A real PostgreSQL for a test: Debian's, as a process of its own, on a socket in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"  # Debian's package makes it; the server refuses to run as root


def _binary(name: str) -> str:
    return str(max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])))


def _run(*command: str) -> None:
    user = USER if os.geteuid() == 0 else None
    subprocess.run(command, check=True, timeout=60, user=user, cwd="/", stdout=subprocess.DEVNULL)


@contextmanager
def a_server() -> Iterator[str]:
    """The address of an empty database, for SQLAlchemy. Gone, with its server, afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    try:
        data = folder / "data"
        _run(_binary("initdb"), "--pgdata", str(data), "--auth", "trust", "--no-sync", "--username", "portal")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        start = ("--pgdata", str(data), "--log", str(folder / "log"), "--options", options, "--wait")
        _run(_binary("pg_ctl"), "start", *start)
        try:
            yield f"postgresql+psycopg://portal@/postgres?host={folder}"
        finally:
            _run(_binary("pg_ctl"), "stop", "--pgdata", str(data), "--mode", "immediate", "--wait")
    finally:
        shutil.rmtree(folder)
