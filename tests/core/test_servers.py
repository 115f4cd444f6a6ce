"""The step that brings a server where it is wanted."""

import pytest

from provision.core.servers import Act, Cannot, Goal, Pend, Server, Stay, next_step


@pytest.mark.parametrize(
    ("status", "suspended", "shelved", "running"),
    [
        ("ACTIVE", "suspend", "shelve", Stay),
        ("SUSPENDED", Stay, "shelve", "resume"),
        ("SHELVED", Stay, Stay, "unshelve"),
        ("SHELVED_OFFLOADED", Stay, Stay, "unshelve"),
        ("SHUTOFF", Stay, "shelve", "os-start"),
        ("PAUSED", Cannot, "shelve", "unpause"),
        ("ERROR", Cannot, Cannot, Cannot),
        ("BUILD", Pend, Pend, Pend),
        ("REBOOT", Pend, Pend, Pend),
    ],
)
def test_steps(status: str, suspended: object, shelved: object, running: object) -> None:
    goals: dict[Goal, object] = {"suspended": suspended, "shelved": shelved, "running": running}
    for goal, wanted in goals.items():
        step = next_step(goal, Server("1", "a", status))
        assert step.action == wanted if isinstance(step, Act) else type(step) is wanted
        # While Nova is at work nothing is asked of it, and nothing is given up.
        assert isinstance(next_step(goal, Server("1", "a", status, task="suspending")), Pend)
