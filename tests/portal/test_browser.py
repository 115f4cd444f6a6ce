"""The page in a real browser: with and without JavaScript, on a desk and on a phone, in each of its states."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Request, expect, sync_playwright
from playwright.sync_api import Page as Tab

from provision.core.standing import State
from provision.paths import cache_home
from provision.portal.app import make_app
from provision.portal.visit import Portal, Settings
from provision.workflows.desk import ask, look
from tests.simulator.faults import Fate

from .conftest import QUICK, Page
from .test_desk import until

CHROMIUM = os.environ.get("PROVISION_CHROMIUM", "/usr/bin/chromium")
SHOTS = cache_home() / "screenshots"
WAIT = 60_000  # milliseconds: the computer may be busy
SIZES = {"desktop": (1280, 800), "phone": (375, 667)}


@contextmanager
def served(page: Page) -> Iterator[str]:
    """The page on a port of the loopback network."""
    portal = Portal(page.desk, page.portal.engine, Settings("Demo 26J", ("127.0.0.1",), False, "help@example.org"))
    config = uvicorn.Config(make_app(portal), port=0, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Root has no sandbox of its own here, and every page is ours.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


def a_tab(chromium: Browser, *, script: bool = True) -> Tab:
    """A tab of a browser that shares nothing with others."""
    tab = chromium.new_context(java_script_enabled=script).new_page()
    tab.set_default_timeout(WAIT)
    return tab


def shown(tab: Tab, name: str) -> None:
    """Keep pictures of what the tab shows, and see that nothing keeps anybody from using it."""
    for size, (width, height) in SIZES.items():
        tab.set_viewport_size({"width": width, "height": height})
        tab.screenshot(path=SHOTS / f"portal-{name}-{size}.png", full_page=True)
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name}: wider than a {size}"


def accessible(tab: Tab) -> None:
    results = Axe().run(tab)
    assert results.violations_count == 0, results.generate_report()


def heading(tab: Tab, text: str) -> None:
    expect(tab.get_by_role("heading", level=1)).to_have_text(text, timeout=WAIT)


PHASES: Mapping[State, str] = {"reserving": "Reserving", "starting": "Starting", "software": "Course software"}


def test_a_students_path(page: Page, chromium: Browser) -> None:
    strangers: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith(url):
            strangers.append(request.url)

    with served(page) as url:
        tab = a_tab(chromium)
        tab.on("request", asked)
        tab.goto(url)
        shown(tab, "sign-in")
        accessible(tab)
        tab.goto(url + page.link("s0001", "Ada Lovelace"))
        shown(tab, "link")
        accessible(tab)
        tab.get_by_role("button", name="Sign in").click()
        heading(tab, "Your course machine")
        shown(tab, "none")
        accessible(tab)
        tab.get_by_role("button", name="Start my machine").dblclick()
        heading(tab, "Your machine is on its way")
        shown(tab, "queued")
        accessible(tab)
        for state, words in PHASES.items():
            until(page.desk, "s0001", state)
            expect(tab.locator("[aria-current=step]")).to_contain_text(words, timeout=WAIT)
            shown(tab, state)
            accessible(tab)
        until(page.desk, "s0001", "ready")
        heading(tab, "Your machine is ready")
        shown(tab, "ready")
        accessible(tab)
        assert tab.get_by_role("link", name="Open my machine").get_attribute("href") == look(page.desk, "s0001").url
        tab.get_by_role("button", name="Show my password").click()
        heading(tab, "Your machine's password")
        shown(tab, "password")
        accessible(tab)
        tab.goto(url)
        tab.get_by_text("Stop", exact=True).first.click()
        tab.locator("form[action='/stop'] button").click()
        heading(tab, "Your machine is going to sleep")
        shown(tab, "stopping")
        until(page.desk, "s0001", "asleep")
        heading(tab, "Your machine is asleep")
        shown(tab, "asleep")
        accessible(tab)
        tab.get_by_role("button", name="Sign out").click()
        heading(tab, "Sign in")
        tab.close()
    assert strangers == []
    assert len(page.simulator.cloud.stacks) == 1


def test_without_javascript_and_by_the_keyboard_alone(page: Page, chromium: Browser) -> None:
    with served(page) as url:
        tab = a_tab(chromium, script=False)
        tab.goto(url + page.link("s0002"))

        def press(name: str) -> None:
            """Go to a button by the tabulator, and press it."""
            for _ in range(12):
                tab.keyboard.press("Tab")
                if tab.locator("*:focus").all_inner_texts() == [name]:
                    tab.keyboard.press("Enter")
                    return
            raise AssertionError(f"The keyboard does not reach {name!r}")

        press("Sign in")
        heading(tab, "Your course machine")
        press("Start my machine")
        heading(tab, "Your machine is on its way")
        until(page.desk, "s0002", "ready")
        heading(tab, "Your machine is ready")  # by itself: the page is loaded again
        press("Show my password")
        heading(tab, "Your machine's password")
        tab.close()


def test_a_failure_and_what_staff_see(page: Page, chromium: Browser) -> None:
    page.simulator.meet(replace(QUICK, fates=(Fate("s0001", reason="No valid host was found."),)))
    ask(page.desk, "s0001")
    ask(page.desk, "s0000")
    until(page.desk, "s0001", "failed")
    until(page.desk, "s0000", "ready")
    with served(page) as url:
        student, staff = a_tab(chromium), a_tab(chromium)
        for tab, who in ((student, "s0001"), (staff, None)):
            tab.goto(url + page.link(who, "Grace Hopper"))
            tab.get_by_role("button", name="Sign in").click()
        heading(student, "Something went wrong")
        shown(student, "failed")
        accessible(student)
        heading(staff, "The class")
        expect(staff.locator("tbody tr").first).to_contain_text("Failed")
        shown(staff, "staff")
        accessible(staff)
        staff.get_by_label("Select s0002").check()
        staff.get_by_role("button", name="Start", exact=True).click()
        expect(staff.locator("tr.queued, tr.reserving")).to_contain_text("s0002")
        until(page.desk, "s0002", "ready")
        expect(staff.locator("tr.ready")).to_have_count(2, timeout=WAIT)  # by itself
        with staff.expect_download() as download:
            staff.get_by_role("button", name="Download the handout of s0002").click()
        assert "s0002" in Path(download.value.path()).read_text()
        staff.get_by_role("link", name="Audit log").click()
        heading(staff, "Audit log")
        expect(staff.locator("tbody tr").first).to_contain_text("downloaded the handout")
        shown(staff, "audit")
        accessible(staff)
        student.close()
        staff.close()
