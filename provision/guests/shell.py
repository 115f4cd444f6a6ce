"""How a guest that is being baked is asked to do something: the shape. A mounted tree and a running machine have it."""

from typing import Protocol


class Shell(Protocol):
    """A guest in which shell scripts run as root."""

    def run_script(self, script: str, *, deadline: float) -> str:
        """Run a shell script and return what it printed; `deadline` in seconds. Raises CommandError if it fails."""
