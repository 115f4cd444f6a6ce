"""A student's path from the link to the password, and what staff see of it."""

import logging
import re

import pytest
from argon2 import PasswordHasher

from .conftest import Page, csrf, press, state


def test_from_the_link_to_the_password(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "provision")  # whatever a command that ran before has set
    link, browser = page.link("s0001"), page.browser()
    browser.get(link)
    browser.post(link)
    assert state(browser) == "Your course machine"
    assert press(browser, "/start").headers["location"] == "/"
    seen = [state(browser)]
    for _ in range(60):
        page.sleep(3)
        if (now := state(browser)) != seen[-1]:
            seen.append(now)
    assert seen == ["Your machine is on its way", "Reserving", "Starting", "Course software", "Your machine is ready"]
    (stack,) = page.simulator.cloud.stacks.values()
    assert stack.name == "demo-26J-s0001"
    shown = re.search('class="password">(.*?)<', press(browser, "/password/show").text)
    assert shown
    hashed = stack.parameters["password_hash"].removeprefix("argon2:")
    assert PasswordHasher().verify(hashed, shown[1])
    page.sleep(60)
    assert "was shown already" in press(browser, "/password/show").text
    secrets = (link.removeprefix("/link/"), browser.cookies["session"], csrf(browser.get("/")), shown[1], hashed)
    # The test's own browser, and the SDK when it is asked to, log every request; the page itself does not.
    log = "\n".join(each.getMessage() for each in caplog.records if each.name.startswith("provision"))
    assert "/link/..." in log
    assert [secret for secret in secrets if secret in log] == []
    staff = page.enter(None).get("/staff").text
    assert re.findall(r'<tr class="(\w+)">', staff) == ["ready", "none", "none"]
