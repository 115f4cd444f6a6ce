"""Which proofs a machine is put to."""

from provision.guests.probes import STAGES, stages


def test_where_nobody_gets_at_ssh_it_is_not_asked_for() -> None:
    assert stages(ssh=True) == STAGES
    assert [stage.name for stage in stages(ssh=False)] == ["network", "web", "login", "kernel"]
