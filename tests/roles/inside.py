"""pytest-testinfra's view of a booted tree: its services, sockets, files, users."""

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from tests.roles.container import Container


class Namespaces(BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """Runs testinfra's commands among a container's processes, as root."""

    NAME = "namespaces"

    def __init__(self, leader: int) -> None:
        super().__init__(str(leader))
        self.leader = leader

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        words = self.get_command(command, *args)
        return self.run_local("nsenter --target %s --all /bin/sh -c %s", str(self.leader), words)


def seen_inside(machine: Container) -> Host:
    """A host as testinfra's modules know it."""
    return Host(Namespaces(machine.leader))
