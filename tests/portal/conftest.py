"""A launch page for each test, before a simulated cloud whose time passes only when the test lets it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from provision.cloud.connection import connect
from provision.core.roster import Student
from provision.portal.app import make_app
from provision.portal.entry import new_links
from provision.portal.store import add_links, open_store
from provision.portal.visit import Portal, Settings
from provision.workflows.desk import Desk, Offers, open_desk
from provision.workflows.orders import read_cohort
from tests.simulator import world
from tests.simulator.conftest import a_simulator
from tests.simulator.faults import Build, Setup
from tests.simulator.server import Simulator
from tests.simulator.staff import DEADLINE, serving

HOST = "launch.test"
NOTHING = Offers()
QUICK = Setup(build=Build(create=8, delete=3, boot=10))  # time costs: the desk looks twice a second
TOML = '[cohort]\ncourse = "demo"\npresentation = "26J"\n'


@dataclass
class Page:
    """A launch page, and what is behind it."""

    portal: Portal
    simulator: Simulator

    @property
    def desk(self) -> Desk:
        return self.portal.desk

    def sleep(self, seconds: float) -> None:
        """Let the cloud's time go by."""
        self.simulator.clock.sleep(seconds)

    def browser(self, scheme: str = "http") -> TestClient:
        return TestClient(make_app(self.portal), base_url=f"{scheme}://{HOST}", follow_redirects=False)

    def link(self, student: str | None, name: str = "Somebody", *, seconds: float = 3600) -> str:
        """A new link's path."""
        people = [Student(student, name, "x@x.org")] if student else []
        (row,) = new_links(people, [] if student else [name], self.portal.now() + seconds)
        add_links(self.portal.engine, [row])
        return f"/link/{row['token']}"

    def enter(self, student: str | None, browser: TestClient | None = None) -> TestClient:
        """A browser in which somebody signed in."""
        browser = browser or self.browser()
        answer = browser.post(self.link(student))
        assert answer.status_code == 303
        return browser


def csrf(answer: httpx2.Response) -> str:
    """The word that the page's forms bear."""
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def press(browser: TestClient, path: str, **fields: Any) -> httpx2.Response:
    """Post the form of the first page to a path."""
    return browser.post(path, data={"csrf": csrf(browser.get("/", follow_redirects=True)), **fields})


def state(browser: TestClient) -> str:
    """The heading of the student's page, and the phase that is now."""
    text = browser.get("/").text
    title = re.search("<h1>(.*?)</h1>", text)
    now = re.search('aria-current="step"><strong>(.*?)</strong>', text)
    assert title
    return now[1] if now else title[1]


@contextmanager
def a_desk(
    folder: Path,
    simulator: Simulator,
    engine: Engine,
    *,
    offers: Offers = NOTHING,
    count: int = 3,
) -> Iterator[Desk]:
    """A desk for a class of that many."""
    (folder / "cohort.toml").write_text(TOML)
    desk = Desk(
        read_cohort(str(folder)),
        world.order(count),
        engine,
        lambda: connect("campus", simulator.clock),
        offers,
        (serving(simulator.url, simulator.clock, DEADLINE),),
        DEADLINE,
        simulator.clock,
    )
    with open_desk(desk):
        yield desk


def settings(*, secure: bool = False) -> Settings:
    return Settings("Demo 26J", (HOST,), secure, "help@example.org")


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with a_simulator(tmp_path, monkeypatch) as running:
        running.meet(QUICK)
        yield running


@pytest.fixture
def page(simulator: Simulator, tmp_path: Path) -> Iterator[Page]:
    engine = open_store(f"sqlite:///{tmp_path}/portal.db", world.COHORT)
    with a_desk(tmp_path, simulator, engine) as desk:
        simulator.clock.sleep(5)
        yield Page(Portal(desk, engine, settings()), simulator)
    engine.dispose()
