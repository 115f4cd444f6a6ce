"""A launch that is killed at any of its calls, by SIGKILL, loses nothing: run again, it goes on from there."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from . import world
from .clock import FastClock
from .conftest import in_clouds_yaml
from .faults import NEW_STACK, Build, Happening, Latency, Setup
from .server import Simulator, simulator_on_a_socket
from .staff import Operator, doubles, launch_at, locked_out, machines, orphans, ready
from .state import Cloud

STUDENTS = 2
CALM = Setup(latency=Latency(0.5, 3), build=Build(6, 2, 0))
fork = get_context("forkserver")
fork.set_forkserver_preload(["tests.simulator.staff", "openstack.connection", "provision.cloud.stacks"])


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator that another process can use, too: its time goes by, but quickly."""
    with simulator_on_a_socket(CALM, FastClock()) as running:
        world.add_image(running.cloud)
        in_clouds_yaml(running, tmp_path, monkeypatch)
        yield running


# From the first new stack on: what comes before only reads. Two are asked for; then lists, outputs and proofs.
@pytest.mark.parametrize("call", range(9))
def test_a_launch_that_is_killed_goes_on_when_it_is_run_again(hasty: Simulator, tmp_path: Path, call: int) -> None:
    folder = tmp_path / "handouts"
    victim = fork.Process(target=launch_at, args=(hasty.url, tmp_path / "clouds.yaml", folder, STUDENTS), daemon=True)

    def kill(_cloud: Cloud) -> None:
        assert victim.pid
        os.kill(victim.pid, signal.SIGKILL)

    def begin(cloud: Cloud) -> None:
        if call:
            cloud.expect(Happening(kill, skip=call - 1))
        else:
            kill(cloud)

    hasty.meet(replace(CALM, happenings=(Happening(begin, call=NEW_STACK),)))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    had = machines(hasty)
    hasty.meet(CALM)
    assert len(ready(Operator(hasty.url, hasty.clock, folder).launch(STUDENTS))) == STUDENTS
    assert (doubles(hasty), orphans(hasty), locked_out(hasty, folder)) == ([], [], [])
    assert machines(hasty).items() >= had.items()
