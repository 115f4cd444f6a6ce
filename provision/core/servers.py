"""Nova's servers: what one list call shows of each, and the step that brings one where it is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Goal = Literal["suspended", "shelved", "running"]


@dataclass(frozen=True)
class Server:
    """A server. Memory in MiB, disk in GiB; `created` is ISO 8601 in UTC, `task` empty unless Nova is at work.

    `image` is the id of the one that it was made from, or last rebuilt from; empty for one on a volume.
    """

    id: str
    name: str
    status: str
    task: str = ""
    fault: str = ""
    created: str = ""
    flavor: str = ""
    vcpus: int = 0
    memory: int = 0
    disk: int = 0
    image: str = ""

    @property
    def asleep(self) -> bool:
        """Whether it was laid to sleep. One that only stopped was not: its student may have done that."""
        return self.status in _ASLEEP


@dataclass(frozen=True)
class Act:
    """Nova is to be asked for `action`, by its own name for it."""

    action: str


@dataclass(frozen=True)
class Stay:
    """The server is where it is wanted."""


@dataclass(frozen=True)
class Pend:
    """Nova is at work on it."""


@dataclass(frozen=True)
class Cannot:
    """No action leads there."""

    reason: str
    hint: str


Step = Act | Stay | Pend | Cannot

_ASLEEP = ("SUSPENDED", "SHELVED", "SHELVED_OFFLOADED")
# Which action leads from a status to a goal (docs.openstack.org/nova/latest/reference/vm-states.html).
_ACTIONS: Mapping[Goal, Mapping[str, str]] = {
    "suspended": {"ACTIVE": "suspend"},
    "shelved": {"ACTIVE": "shelve", "SUSPENDED": "shelve", "SHUTOFF": "shelve", "PAUSED": "shelve"},
    "running": {
        "SUSPENDED": "resume",
        "SHELVED": "unshelve",
        "SHELVED_OFFLOADED": "unshelve",
        "SHUTOFF": "os-start",
        "PAUSED": "unpause",
    },
}
_THERE: Mapping[Goal, tuple[str, ...]] = {
    "suspended": (*_ASLEEP, "SHUTOFF"),  # one that is off takes no less than a suspended one
    "shelved": ("SHELVED", "SHELVED_OFFLOADED"),
    "running": ("ACTIVE",),
}
_DEAD = ("ERROR", "DELETED", "SOFT_DELETED")


def next_step(goal: Goal, server: Server) -> Step:
    """What brings a server to `goal` from where it is."""
    if server.task:
        return Pend()
    if server.status in _DEAD:
        words = f"its server is in {server.status}" + (f": {server.fault}" if server.fault else "")
        return Cannot(words, "Run: provision cohort repair COHORT")
    if server.status in _THERE[goal]:
        return Stay()
    if action := _ACTIONS[goal].get(server.status):
        return Act(action)
    if server.status == "PAUSED":
        return Cannot("its server is paused, and Nova suspends none of these", "Run: openstack server unpause SERVER")
    return Pend()
