"""A cohort moves to another image: work, passwords and addresses stay, whatever fails and whenever it is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from provision.core.outcome import Outcome
from provision.errors import CommandError, PreflightError
from provision.guests.access import Access
from provision.progress import Phase, Silent
from provision.workflows.backups import backups_folder, kept_backups
from provision.workflows.rebuild import Carry, Terms, find_moves, rebuild

from . import world
from .faults import Fate, Setup
from .server import Simulator
from .staff import Operator, failed, locked_out, machines, ready, serving

NEW = "70000000-0000-4000-8000-000000000002"
STUDENTS = 6
PATCHES = "^PATCH /heat/"


@dataclass
class Disks:
    """What students have on their disks: a rebuilt machine has a new one, with nothing on it."""

    simulator: Simulator
    work: dict[tuple[str, int], bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # whose caretaker does not do its work
    fetched: list[str] = field(default_factory=list)

    def disk(self, name: str) -> tuple[str, int]:
        server = self.simulator.cloud.things["servers"][machines(self.simulator)[name]]
        return server["id"], server.get("disks", 1)

    def all(self) -> dict[str, bytes]:
        return {name: self.work.get(self.disk(name), b"") for name in machines(self.simulator)}

    def backup(self, access: Access, stream: BinaryIO) -> None:
        name = self._at(access)
        self.fetched.append(name)
        stream.write(self.work[self.disk(name)])

    def restore(self, access: Access, stream: BinaryIO) -> None:
        self.work[self.disk(self._at(access))] = stream.read()

    def _at(self, access: Access) -> str:
        name = self.simulator.cloud.behind[access.address].name
        if name in self.broken:
            raise CommandError("The caretaker does not answer.", hint="Look at it.")
        return name


class Killed(Silent):
    """A run that ends at the first phase whose name holds these words."""

    def __init__(self, words: str) -> None:
        self.words = words

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        if self.words in name:
            raise KeyboardInterrupt
        with super().phase(name) as phase:
            yield phase


@pytest.fixture
def disks(simulator: Simulator, operator: Operator) -> Disks:
    """A class that was launched and has worked, and a second image."""
    assert len(ready(operator.launch(STUDENTS))) == STUDENTS
    simulator.cloud.images[NEW] = {**simulator.cloud.images[world.IMAGE_ID], "id": NEW, "name": "next"}
    simulator.calls.clear()
    made = Disks(simulator)
    made.work.update({made.disk(name): f"work of {name}".encode() for name in machines(simulator)})
    return made


def move(
    operator: Operator, disks: Disks, image: str = NEW, progress: Silent | None = None, **more: Any
) -> list[Outcome]:
    carry = Carry(disks.backup, disks.restore)
    stages = (serving(operator.url, operator.clock, operator.deadline),)
    terms = Terms(operator.folder, carry, stages=stages, clock=operator.clock, deadline=300, **{"size": 3, **more})
    return list(rebuild(operator.connect(), world.order(STUDENTS), image, terms, progress or Silent()))


def images(simulator: Simulator) -> dict[str, str]:
    servers = simulator.cloud.things["servers"]
    return {name: servers[server]["image"]["id"] for name, server in machines(simulator).items()}


def addresses(simulator: Simulator) -> dict[str, str]:
    return {stack.name: address for address, stack in simulator.cloud.behind.items()}


def test_all_keep_what_is_theirs_and_a_second_run_changes_nothing(
    simulator: Simulator, operator: Operator, disks: Disks
) -> None:
    before = (machines(simulator), addresses(simulator), disks.all(), len(simulator.cloud.stacks))
    assert len(ready(move(operator, disks))) == STUDENTS
    assert set(images(simulator).values()) == {NEW}
    assert (machines(simulator), addresses(simulator), disks.all(), len(simulator.cloud.stacks)) == before
    assert locked_out(simulator, operator.folder) == []
    assert kept_backups(operator.folder) == {}
    assert [each.stat().st_mode & 0o777 for each in backups_folder(operator.folder).iterdir()] == [0o600] * STUDENTS
    assert move(operator, disks) == []
    assert simulator.count(PATCHES) == len(disks.fetched) == STUDENTS


def test_a_machine_whose_work_cannot_be_kept_is_not_touched(
    simulator: Simulator, operator: Operator, disks: Disks
) -> None:
    disks.broken.add("demo-26J-s0004")
    before = disks.all()
    outcomes = move(operator, disks, most=50)
    assert {who: each.stage for who, each in failed(outcomes).items()} == {"s0004": "backup"}
    assert failed(outcomes)["s0004"].reason == (
        "not touched, for its work cannot be kept: The caretaker does not answer."
    )
    assert len(ready(outcomes)) == STUDENTS - 1
    assert images(simulator)["demo-26J-s0004"] == world.IMAGE_ID
    assert disks.all() == before
    disks.broken.clear()
    assert ready(move(operator, disks)) == ["s0004"]
    assert disks.all() == before


@pytest.mark.parametrize(
    ("bad", "most", "touched"),
    [("s0000", 10, 1), ("s0002", 10, 4), ("s0002", 34, STUDENTS), ("s0005", 10, STUDENTS)],
)
def test_a_wave_with_too_many_failures_is_the_last(
    simulator: Simulator, operator: Operator, disks: Disks, bad: str, most: float, touched: int
) -> None:
    simulator.meet(Setup(fates=(Fate(bad, action="UPDATE", times=1),)))
    before = disks.all()
    outcomes = move(operator, disks, most=most)
    assert simulator.count(PATCHES) == touched
    stages = [each.stage for each in failed(outcomes).values()]
    assert sorted(stages) == sorted(["server", *["halted"] * (STUDENTS - touched)])
    assert "is in" in failed(outcomes)[bad].hint
    assert len(outcomes) == STUDENTS
    assert len(ready(move(operator, disks))) == STUDENTS - touched + 1
    assert disks.all() == before
    assert set(images(simulator).values()) == {NEW}


@pytest.mark.parametrize("words", ["1 of 3: keeping", "1 of 3: waiting", "Proving", "2 of 3: giving"])
def test_killed_anywhere_it_goes_on(simulator: Simulator, operator: Operator, disks: Disks, words: str) -> None:
    before = disks.all()
    with pytest.raises(KeyboardInterrupt):
        move(operator, disks, progress=Killed(words))
    move(operator, disks)
    assert disks.all() == before
    assert set(images(simulator).values()) == {NEW}
    assert kept_backups(operator.folder) == {}
    assert locked_out(simulator, operator.folder) == []


def test_work_that_is_not_back_stays_kept_and_no_other_image_comes_before_it(
    simulator: Simulator, operator: Operator, disks: Disks
) -> None:
    before = disks.all()
    with pytest.raises(KeyboardInterrupt):
        move(operator, disks, progress=Killed("giving"))
    (stayed,) = failed(move(operator, disks, world.IMAGE_ID)).values()
    assert stayed.hint == f"Run: provision cohort rebuild COHORT --image {NEW}"
    assert len(kept_backups(operator.folder)) == 1
    move(operator, disks)
    move(operator, disks, world.IMAGE_ID)
    assert disks.all() == before
    assert set(images(simulator).values()) == {world.IMAGE_ID}


def test_an_image_that_is_too_large_is_refused_before_anything(
    simulator: Simulator, operator: Operator, disks: Disks, tmp_path: Path
) -> None:
    simulator.cloud.images[NEW]["min_disk"] = 64
    with pytest.raises(PreflightError, match="flavor disk 20 GiB < image min_disk 64 GiB"):
        move(operator, disks)
    assert (simulator.count(PATCHES), disks.fetched) == (0, [])
    simulator.cloud.images[NEW]["min_disk"] = 5
    assert len(find_moves(operator.connect(), world.order(STUDENTS), NEW, tmp_path).moves) == STUDENTS
