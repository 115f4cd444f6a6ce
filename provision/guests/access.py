"""What one needs to reach a student's machine from outside."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Access:
    """A machine's public address and the student's own way in.

    `key` is the file of the private key, or None for the person's own keys and agent. `host_alias` names the machine in
    `known_hosts`: its stack's id, because floating IPs are used again.
    """

    address: str
    user: str
    password: str | None = field(repr=False)
    key: Path | None
    host_alias: str
    known_hosts: Path

    @property
    def url(self) -> str:
        """The address that the student opens."""
        return f"http://{self.address}/"
