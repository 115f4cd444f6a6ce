"""What one needs to reach a student's machine from outside."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Access:
    """A machine's public address and the student's own way in.

    `key` is the file of the private key, or None for the person's own keys and agent. `host_alias` names the machine in
    `known_hosts`: its stack's id, because floating IPs are used again. `tls`: it is served with a certificate of its
    own, which nobody vouches for.
    """

    address: str
    user: str
    password: str | None = field(repr=False)
    key: Path | None
    host_alias: str
    known_hosts: Path
    tls: bool = False
    web_port: int | None = None
    ssh_port: int = 22

    @property
    def port(self) -> int:
        """The port of the web."""
        return self.web_port or (443 if self.tls else 80)

    @property
    def url(self) -> str:
        """The address that the student opens."""
        port = f":{self.web_port}" if self.web_port else ""
        return f"http{'s' if self.tls else ''}://{self.address}{port}/"
