"""JupyterLab, OpenRefine and nbdime in a real browser through nginx."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, sync_playwright

from provision.paths import cache_home
from tests.roles.container import Container
from tests.roles.web.conftest import URL
from tests.roles.web.tree import PASSWORD

CHROMIUM = os.environ.get("PROVISION_CHROMIUM", "/usr/bin/chromium")
SHOTS = cache_home() / "screenshots"


@pytest.fixture(scope="module")
def page(machine: Container) -> Iterator[Page]:
    """A browser's tab; it is on the machine's network because we are."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Root has no sandbox of its own here, and every page is ours.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
        tab.set_default_timeout(60_000)
        yield tab
        chromium.close()


def shot(page: Page, name: str) -> Path:
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path)
    return path


def test_a_student_signs_in_and_works(page: Page) -> None:
    answers: list[Response] = []

    def seen(answer: Response) -> None:
        answers.append(answer)

    page.on("response", seen)
    page.goto(f"{URL}openrefine/")
    assert "/login?next=" in page.url
    assert page.get_by_text("is not encrypted").is_visible()
    shot(page, "sign-in")
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url(f"{URL}openrefine/")
    page.get_by_text("Get data from").first.wait_for()
    shot(page, "openrefine")
    page.goto(f"{URL}nbdime/")
    page.get_by_text("Notebook Diff/Merge").wait_for()
    shot(page, "nbdime")
    page.goto(f"{URL}lab")
    page.locator(".jp-Launcher").wait_for()
    page.locator(".jp-LauncherCard[title*='Python 3']").first.wait_for()
    shot(page, "jupyterlab")
    refused = [f"{answer.status} {answer.url}" for answer in answers if answer.status >= 400]
    # JupyterLab asks in any case; the role jupyter leaves language servers out.
    assert [line for line in refused if not line.startswith(f"404 {URL}lsp/status")] == []
