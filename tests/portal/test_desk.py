"""The desk before a simulated cloud: one machine however it is asked, its failures, and what two portals do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from provision.core.roster import Student
from provision.guests.access import Access
from provision.portal.store import METADATA, open_store
from provision.workflows import wishes
from provision.workflows.desk import Desk, Offers, ask, look, open_desk, reset_password, reveal
from provision.workflows.deskwork import PATIENCE
from provision.workflows.handouts import read_handouts
from tests.simulator import world
from tests.simulator.faults import NEW_STACK, Fate, Fault, Say
from tests.simulator.server import Simulator
from tests.simulator.staff import Operator, doubles, orphans

from .conftest import QUICK, Page, a_desk, csrf, press, state
from .postgres import a_server


def until(desk: Desk, student: str, *states: str, longest: float = 600) -> str:
    """Let time go by until the student's place is one of these."""
    end = desk.clock.now() + longest
    while (now := look(desk, student).state) not in states:
        assert desk.clock.now() < end, now
        desk.clock.sleep(2)
    return now


def test_fifty_clicks_are_one_machine(page: Page) -> None:
    with ThreadPoolExecutor(10) as hands:
        references = {place.reference for place in hands.map(lambda _: ask(page.desk, "s0001"), range(50))}
    assert len(references) == 1
    until(page.desk, "s0001", "ready")
    assert [stack.name for stack in page.simulator.cloud.stacks.values()] == ["demo-26J-s0001"]
    before = page.simulator.count(NEW_STACK)
    assert ask(page.desk, "s0001").state == "ready"
    page.sleep(10)
    assert page.simulator.count(NEW_STACK) == before


def test_a_second_tab_and_a_reload_find_the_same_machine(page: Page) -> None:
    first, second = page.enter("s0000"), page.enter("s0000")
    for browser in (first, second, first):
        browser.post("/start", data={"csrf": csrf(browser.get("/"))})
    until(page.desk, "s0000", "ready")
    assert state(first) == state(second) == "Your machine is ready"
    assert len(page.simulator.cloud.stacks) == 1


def test_who_comes_while_others_wait_joins_them(page: Page) -> None:
    ask(page.desk, "s0000")
    until(page.desk, "s0000", "software")
    ask(page.desk, "s0001")
    assert until(page.desk, "s0001", "starting", "software") != "queued"
    until(page.desk, "s0000", "ready")
    until(page.desk, "s0001", "ready")
    assert (len(page.simulator.cloud.stacks), doubles(page.simulator), orphans(page.simulator)) == (2, [], [])


def test_a_failure_is_told_and_tried_again(page: Page) -> None:
    page.simulator.meet(replace(QUICK, fates=(Fate("s0001", reason="No valid host was found."),)))
    ask(page.desk, "s0001")
    until(page.desk, "s0001", "failed")
    place = look(page.desk, "s0001")
    assert "No compute node has room" in place.message
    text = page.enter("s0001").get("/").text
    assert "Your machine could not be made." in text
    assert place.reference in text
    assert "compute node" not in text
    assert place.message in page.enter(None).get("/staff").text
    page.simulator.meet(QUICK)
    ask(page.desk, "s0001")
    until(page.desk, "s0001", "ready")


def test_a_second_try_while_others_are_still_being_made(page: Page) -> None:
    fates = (Fate("s0001", reason="No valid host was found."),)
    page.simulator.meet(replace(QUICK, build=replace(QUICK.build, boot=120), fates=fates))
    ask(page.desk, "s0000")
    ask(page.desk, "s0001")
    until(page.desk, "s0001", "failed")
    assert look(page.desk, "s0000").state != "ready"
    page.simulator.meet(QUICK)
    assert ask(page.desk, "s0001").state in ("queued", "reserving")
    until(page.desk, "s0001", "ready")
    until(page.desk, "s0000", "ready")
    assert (len(page.simulator.cloud.stacks), doubles(page.simulator)) == (2, [])


def test_nobody_waits_for_ever_for_a_cloud_that_is_gone(page: Page) -> None:
    page.simulator.meet(replace(QUICK, faults=(Fault("", Say(503)),)))
    ask(page.desk, "s0001")
    page.sleep(60)
    assert look(page.desk, "s0001").state == "queued"
    assert page.desk.blind
    assert "We cannot see your machine at the moment" in page.enter("s0001").get("/").text
    page.simulator.meet(QUICK)
    until(page.desk, "s0001", "ready")
    assert PATIENCE > 60


def test_stop_wake_and_restart(page: Page) -> None:
    browser = page.enter("s0001")
    ask(page.desk, "s0001")
    until(page.desk, "s0001", "ready")
    for path, between, heading in (
        ("/stop", "stopping", "Your machine is asleep"),
        ("/wake", "queued", "Your machine is ready"),
        ("/restart", "queued", "Your machine is ready"),
    ):
        press(browser, path)
        assert look(page.desk, "s0001").state == between
        until(page.desk, "s0001", "asleep", "ready")
        assert state(browser) == heading
    (stack,) = page.simulator.cloud.stacks.values()
    assert stack.name == "demo-26J-s0001"


def test_a_machine_that_a_launch_made_is_proved_for_its_student(page: Page) -> None:
    Operator(page.simulator.url, page.simulator.clock, page.desk.file.folder).launch(1)
    until(page.desk, "s0000", "ready")
    assert reveal(page.desk, "s0000") == read_handouts(page.desk.file.folder)["s0000"].password
    assert look(page.desk, "s0001").state == "none"


@dataclass
class Pool:
    """Some machines that wait; who got them, and with which hash."""

    machines: int
    folder: Path
    claimed: list[tuple[str, str]] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)

    def claim(
        self, student: Student, hashed: str, keys: tuple[str, ...], on_stage: Callable[[str], None]
    ) -> Access | None:
        if len(self.claimed) >= self.machines:
            return None
        on_stage("kernel")
        assert keys
        self.claimed.append((student.id, hashed))
        return Access("192.0.2.9", "student", None, None, "alias", self.folder / "known_hosts")


def test_a_claim_comes_before_a_launch_and_a_new_password_is_a_hash_to_the_machine(
    simulator: Simulator, tmp_path: Path
) -> None:
    pool = Pool(1, tmp_path)
    offers = Offers(pool.claim, pool.passwords.__setitem__)
    engine = open_store(f"sqlite:///{tmp_path}/portal.db", world.COHORT)
    with a_desk(tmp_path, simulator, engine, offers=offers) as desk:
        simulator.clock.sleep(5)
        ask(desk, "s0000")
        until(desk, "s0000", "ready")
        assert look(desk, "s0000").url == "http://192.0.2.9/"
        ask(desk, "s0001")
        until(desk, "s0001", "ready")
        assert [student for student, _ in pool.claimed] == ["s0000"]
        assert [stack.name for stack in simulator.cloud.stacks.values()] == ["demo-26J-s0001"]
        password = reset_password(desk, "s0001")
        assert read_handouts(desk.file.folder)["s0001"].password == password
        assert pool.passwords["s0001"].startswith("argon2:$argon2id$")
    engine.dispose()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with a_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """One database, as two portals have it open."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/portal.db" if sqlite else request.getfixturevalue("postgres")
    with ThreadPoolExecutor(2) as hands:  # two may begin at once
        one, other = hands.map(lambda _: open_store(url, world.COHORT), range(2))
    yield one, other
    wishes.METADATA.drop_all(one)
    METADATA.drop_all(one)
    one.dispose()
    other.dispose()


def test_two_portals_make_one_machine_each(two: tuple[Engine, Engine], simulator: Simulator, tmp_path: Path) -> None:
    with a_desk(tmp_path, simulator, two[0]) as one, a_desk(tmp_path, simulator, two[1]) as other:
        simulator.clock.sleep(5)
        for student in ("s0000", "s0001", "s0002"):
            with ThreadPoolExecutor(10) as hands:
                list(hands.map(lambda number, who=student: ask((one, other)[number % 2], who), range(20)))
        for student in ("s0000", "s0001", "s0002"):
            until(one, student, "ready")
            until(other, student, "ready")
            assert look(one, student).url == look(other, student).url
        assert (len(simulator.cloud.stacks), doubles(simulator), orphans(simulator)) == (3, [], [])


def test_what_a_killed_portal_began_another_ends(
    two: tuple[Engine, Engine], simulator: Simulator, tmp_path: Path
) -> None:
    with a_desk(tmp_path, simulator, two[0]) as killed:
        simulator.clock.sleep(5)
        ask(killed, "s0000")
        until(killed, "s0000", "reserving", "starting", "queued")
        wish = wishes.read_wish(two[0], "s0000")
        assert wish
        killed.closed = True  # as by kill -9: nothing is given back
        wishes.take(two[0], wish, "dead", simulator.clock.now())
        simulator.clock.sleep(1)
        with a_desk(tmp_path, simulator, two[1]) as other:
            until(other, "s0000", "ready", longest=1200)
            assert len(simulator.cloud.stacks) == 1


def test_open_desk_gives_back_what_it_had(page: Page) -> None:
    wishes.wish_for(page.portal.engine, "s0002", "start", "REF", page.portal.now(), cold=True)
    wish = wishes.read_wish(page.portal.engine, "s0002")
    assert wish
    desk = Desk(page.desk.file, page.desk.order, page.portal.engine, page.desk.connect, clock=page.desk.clock)
    with open_desk(desk):
        assert wishes.take(page.portal.engine, wish, desk.owner, page.portal.now())
        assert not wishes.take(page.portal.engine, wish, "another", page.portal.now())
        desk.wishes = {"s0002": wish}
    assert wishes.take(page.portal.engine, wish, "another", page.portal.now())
