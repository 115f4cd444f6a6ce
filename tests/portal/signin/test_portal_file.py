"""portal.toml, and the whole launch page with a university's own accounts."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from provision.errors import InvalidInputError
from provision.portal.store import open_store
from provision.portal.visit import Portal, Settings
from provision.portal.ways import PortalFile, make_portal, read_portal_file
from provision.workflows.desk import Desk
from provision.workflows.orders import read_cohort
from tests.portal.conftest import TOML
from tests.portal.issuer import Issuer
from tests.portal.platform import Platform
from tests.portal.signin.visits import URL, from_issuer, from_platform, lti_settings, oidc_settings
from tests.simulator import world


def browser_of(folder: Path, file: PortalFile) -> TestClient:
    """A launch page that no cloud stands behind: who signs in needs none."""
    (folder / "cohort.toml").write_text(TOML)
    engine = open_store(f"sqlite:///{folder}/portal.db", world.COHORT)
    desk = Desk(read_cohort(str(folder)), world.order(2), engine, lambda: pytest.fail("nobody asks the cloud"))
    settings = Settings("Demo 26J", (str(urlsplit(URL).hostname),), secure=True)
    return TestClient(make_portal(Portal(desk, engine, settings), file), base_url=URL, follow_redirects=False)


def test_students_come_in_by_both_ways(
    tmp_path: Path, issuer: Issuer, platform: Platform, secret_file: Path, key_file: Path
) -> None:
    student = world.order(2).students[0]
    issuer.user["email"] = platform.user["email"] = student.email
    file = PortalFile(url=URL, oidc=oidc_settings(issuer, secret_file), lti=lti_settings(platform, key_file))
    browser = browser_of(tmp_path, file)
    assert 'href="/oidc/login"' in browser.get("/").text
    assert browser.get("/oidc/callback", params=from_issuer(browser)).status_code == 303
    assert "Sign in</h1>" not in browser.get("/").text
    other = browser_of(tmp_path, file)
    platform.target = f"{URL}/"
    said = from_platform(other, platform)
    assert other.post("/lti/launch", data=said, headers={"Origin": platform.url}).status_code == 303
    assert "Sign in</h1>" not in other.get("/").text
    replayed = other.post("/lti/launch", data=said)
    assert replayed.status_code in (400, 403)
    assert "You could not be signed in." in replayed.text
    assert "Reference:" in replayed.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "url: is missing"),
        ('url = "https://x.org"', "neither [oidc] nor [lti]"),
        ('url = "http://x.org"\n[oidc]\nissuer = "https://i.org"\nclient_id = "c"', "line 1: url: must be an https://"),
        ('url = "https://x.org"\n[oidc]\nisuer = "https://i.org"\nclient_id = "c"', "line 3: oidc.isuer"),
        ('url = "https://x.org"\n[lti]\n', "lti.platform: is missing"),
        ("url = ", "line 1"),
    ],
)
def test_what_is_wrong_with_portal_toml_is_said(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "portal.toml").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        read_portal_file(tmp_path / "portal.toml")
    assert any(problem in each for each in caught.value.problems), caught.value.problems
