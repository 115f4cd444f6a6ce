"""What the image doctor finds: its shape, and what the bake does about things."""

from dataclasses import dataclass

CRITICAL, SERIOUS, MINOR = "critical", "serious", "minor"
SEVERITIES = (CRITICAL, SERIOUS, MINOR)  # it does not start or cannot be reached; it is open or unsafe; it is untidy

# What the roles remove; a test compares it with their defaults.
REMOVED_USERS = ("vagrant",)
REPLACED_UNITS = ("jupyter-lab.service", "jupyter-notebook.service", "jupyterhub.service", "jupyterlab.service")

# What the roles turn off; the same test compares it.
WEB_SERVERS_OFF = ("apache2.service", "lighttpd.service")
FIREWALLS = ("firewalld.service", "netfilter-persistent.service", "ufw.service")
# What they know nothing of.
WEB_SERVERS_LEFT = ("caddy.service", "haproxy.service", "httpd.service", "traefik.service", "varnish.service")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what it means, the files where it was seen, and what the bake does about it.

    `fixed` is True only if nothing is left of it after a bake.
    """

    name: str
    severity: str
    meaning: str
    seen: tuple[str, ...]
    fixed: bool
    bake: str


def worst_first(findings: list[Finding]) -> list[Finding]:
    """By severity, and in each what the bake leaves before what it fixes."""
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.fixed))


def in_removed_home(path: str) -> bool:
    """True for what goes with the home of a user whom the bake removes."""
    return any(path.startswith(f"/home/{name}/") for name in REMOVED_USERS)
