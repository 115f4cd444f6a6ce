"""The system's ssh, as we call it: for a person's shell, and for what we ask of a machine."""

from collections.abc import Sequence
from pathlib import Path

from provision.guests.access import Access
from provision.process import run


def ssh_command(access: Access, *remote: str, options: Sequence[str] = ()) -> list[str]:
    """The command line that runs `remote` (a shell if empty) on the machine.

    `options` are ssh_config words such as "BatchMode=yes"; ssh takes the first value given, so they win.
    """
    words = [
        *options,
        f"HostKeyAlias={access.host_alias}",
        f"UserKnownHostsFile={access.known_hosts}",
        "StrictHostKeyChecking=accept-new",
        "CheckHostIP=no",
        f"Port={access.ssh_port}",
        "LogLevel=ERROR",
    ]
    identity = ["-i", str(access.key), "-o", "IdentitiesOnly=yes"] if access.key else []
    settings = [part for word in words for part in ("-o", word)]
    return ["ssh", *settings, *identity, f"{access.user}@{access.address}", *remote]


def forget_host(known_hosts: Path, alias: str) -> None:
    """Let a machine come with other host keys: its disk is new. The next connection remembers those."""
    if known_hosts.is_file():
        run(["ssh-keygen", "-R", alias, "-f", known_hosts], deadline=60)
        known_hosts.with_name(f"{known_hosts.name}.old").unlink(missing_ok=True)
