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
        f"UserKnownHostsFile={_quoted(access.known_hosts)}",
        "StrictHostKeyChecking=accept-new",
        "CheckHostIP=no",
        f"Port={access.ssh_port}",
        "LogLevel=ERROR",
    ]
    identity = ["-i", str(access.key), "-o", "IdentitiesOnly=yes"] if access.key else []
    settings = [part for word in words for part in ("-o", word)]
    return ["ssh", *settings, *identity, f"{access.user}@{access.address}", *remote]


def ssh_config(access: Access, name: str, jump: str | None = None) -> str:
    """The same as a Host block of ssh_config(5), for scp, rsync, editors and whatever else reads that."""
    known = {
        "HostName": access.address,
        "Port": access.ssh_port,
        "User": access.user,
        "HostKeyAlias": access.host_alias,
        "UserKnownHostsFile": _quoted(access.known_hosts),
        "StrictHostKeyChecking": "accept-new",
        "CheckHostIP": "no",
        **({"IdentityFile": _quoted(access.key), "IdentitiesOnly": "yes"} if access.key else {}),
        **({"ProxyJump": jump} if jump else {}),
    }
    return "".join([f"Host {name}\n", *(f"  {key} {value}\n" for key, value in known.items())])


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def forget_host(known_hosts: Path, alias: str) -> None:
    """Let a machine come with other host keys: its disk is new. The next connection remembers those."""
    if known_hosts.is_file():
        run(["ssh-keygen", "-R", alias, "-f", known_hosts], deadline=60)
        known_hosts.with_name(f"{known_hosts.name}.old").unlink(missing_ok=True)
