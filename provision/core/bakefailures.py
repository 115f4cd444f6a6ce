"""What stopped a bake, told from what Ansible and the guest's programs said."""

import re
from typing import NamedTuple


class Explained(NamedTuple):
    """What a failure means, and what to do."""

    meaning: str
    hint: str


# The first that matches is taken: a full disk makes everything else fail, too.
_KNOWN = (
    (
        r"No space left on device|ENOSPC|enough free space",
        Explained("The box's disk is full.", "Remove data from the box, or make its last partition larger."),
    ),
    (
        r"Input/output error|Read-only file system",
        Explained(
            "The disk could not be written while it was baked.",
            "See whether this computer's own disk is full or broken, and the box's disk is sound.",
        ),
    ),
    (
        r"Temporary failure (in name resolution|resolving)|Name or service not known|Could not (resolve|connect)"
        r"|Network is unreachable|No route to host|Connection (timed out|refused|reset)|Failed to fetch"
        r"|Failed to establish a new connection|NewConnectionError|ConnectTimeout|ReadTimeout|Read timed out"
        r"|Failed to update apt cache|Unable to locate package",
        Explained(
            "The archives of packages could not be reached: the network, a mirror or a proxy failed.",
            "See that `apt-get update` and `pip download` work here, and run the same command again.",
        ),
    ),
    (
        r"No matching distribution found|ResolutionImpossible|Could not find a version|requires a different Python",
        Explained(
            "pip found no packages that fit the course's list and this Python.",
            "Correct the requirements in course.toml, or lend another index by pip's settings.",
        ),
    ),
    (
        r"could not get lock|dpkg was interrupted|unmet dependencies|held broken packages",
        Explained("The box's packages are in disorder.", "Mend it in the box: apt-get install --fix-broken."),
    ),
    (
        r"SyntaxError|requires Python|python3: not found|Could not find .*python",
        Explained("The box's Python is too old or broken.", "Upgrade the box to Debian 11, Ubuntu 20.04 or later."),
    ),
    (
        r"UNREACHABLE|Connection to .* closed|Failed to connect to the host|mux_client|kex_exchange",
        Explained("The guest stopped answering while it was baked.", "Run the same command again; the log has more."),
    ),
)


def explain(said: str) -> Explained | None:
    """The meaning of a bake's failure; None if it is not known."""
    return next((explained for words, explained in _KNOWN if re.search(words, said, re.IGNORECASE)), None)
