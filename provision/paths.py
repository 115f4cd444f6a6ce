"""Where things are: the data that comes with the package, what is kept between runs, and what is the person's own."""

import os
import stat
import tempfile
from pathlib import Path

from provision.errors import InvalidInputError

_PACKAGE = Path(__file__).resolve().parent


def data_path(relative: str) -> Path:
    """The file or folder `relative` (such as "heat/student.yaml") of a checkout, or of an installed wheel."""
    installed = _PACKAGE / "_data"
    return (installed if installed.is_dir() else _PACKAGE.parent) / relative


def lab_home() -> Path:
    """Everything that the embedded cloud keeps. `PROVISION_LAB_HOME` moves it."""
    return Path(os.environ.get("PROVISION_LAB_HOME", "/var/lib/provision/lab"))


def lab_clouds_file() -> Path:
    """The clouds.yaml of the embedded cloud: there while a lab exists."""
    return lab_home() / "clouds.yaml"


def cache_home() -> Path:
    """Boxes and builds that can be made again. `XDG_CACHE_HOME` moves it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provision"


def runtime_home() -> Path:
    """What lives no longer than the person's session, and is nobody else's; its path is short, as sockets want it."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    home = Path(given) / "provision" if given else Path(tempfile.gettempdir()) / f"provision-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InvalidInputError(
            f"{home} is not a folder of yours alone, so no connection is kept there.",
            hint="Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
        )
    return home


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` with mode 0600, complete or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
