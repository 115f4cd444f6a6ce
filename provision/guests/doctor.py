"""The image doctor: what is wrong with a guest that is not running."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from provision.errors import InvalidInputError
from provision.guests import exposure, starting
from provision.guests.files import Files
from provision.guests.findings import Finding, worst_first
from provision.guests.system import System, read_system

# In this order for the sake of a disk that is read through gzip: large files last.
CHECKS: tuple[Callable[[Files, System], Iterator[Finding]], ...] = (
    starting.cannot_be_baked,
    starting.old_python,
    starting.no_cloud_init,
    starting.network_tied_to_name,
    starting.fstab,
    starting.no_serial_console,
    exposure.fixed_machine_id,
    exposure.fixed_host_keys,
    exposure.keys,
    exposure.passwords,
    exposure.sudo_without_password,
    exposure.listens_everywhere,
    exposure.other_web_server,
    exposure.other_firewall,
    exposure.guest_additions,
    starting.no_virtio,
)


@dataclass(frozen=True)
class Diagnosis:
    """The findings, worst first, and what could not be looked into, each with its reason."""

    findings: tuple[Finding, ...]
    unread: tuple[str, ...]


def diagnose(files: Files, on_check: Callable[[str], None]) -> tuple[System | None, Diagnosis]:
    """What the guest is and what is wrong with it; `on_check` hears what is looked at. Damaged files are only noted."""
    try:
        system = read_system(files)
    except InvalidInputError as exc:
        return None, Diagnosis((), (f"the operating system: {exc.message}",))
    findings: list[Finding] = []
    unread: list[str] = []
    for check in CHECKS:
        words = check.__name__.replace("_", " ")
        on_check(words)
        try:
            findings.extend(check(files, system))
        except InvalidInputError as exc:
            unread.append(f"{words}: {exc.message}")
    if any(finding.name == "cannot_be_baked" for finding in findings):
        findings = [replace(finding, fixed=False, bake="The bake refuses this guest.") for finding in findings]
    return system, Diagnosis(tuple(worst_first(findings)), tuple(unread))
