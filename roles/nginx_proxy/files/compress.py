"""Put a .gz beside each text file of some folders, for nginx's gzip_static; tell which were new."""

import gzip
import sys
from pathlib import Path

KINDS = {".css", ".js", ".json", ".mjs", ".svg"}
LEAST = 1024  # bytes; less is not worth a second file


def is_due(path, packed):
    """Whether a file has no .gz, or changed after it."""
    if path.suffix not in KINDS or path.is_symlink() or path.stat().st_size < LEAST:
        return False
    return not packed.exists() or packed.stat().st_mtime < path.stat().st_mtime


def compress(path, packed):
    """Write the .gz of a file, whole."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    unfinished.rename(packed)


for folder in sys.argv[1:]:
    for path in sorted(Path(folder).rglob("*")):
        packed = path.with_name(path.name + ".gz")
        if is_due(path, packed):
            compress(path, packed)
            sys.stdout.write(f"{path}\n")
