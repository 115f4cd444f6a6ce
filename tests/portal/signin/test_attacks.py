"""Nothing of the attack table gets in. Each is refused for its own reason, in words for staff and for the person."""

import logging
from pathlib import Path

import pytest
from httpx2 import Response

from provision.portal.signin import refusals as say
from tests.portal.issuer import Issuer
from tests.portal.loopback import Twist
from tests.portal.platform import Platform
from tests.portal.signin.attacks import DISCOVERIES, ELSEWHERE, JOURNEYS, LOGINS, LTI, OIDC, TOKENS, Attack
from tests.portal.signin.visits import (
    SECRET,
    House,
    Visit,
    browsers,
    from_issuer,
    from_platform,
    get_callback,
    lti_settings,
    oidc_settings,
    post_launch,
)

LTI_ATTACKS = {**TOKENS, **JOURNEYS, **LTI}
OIDC_ATTACKS = {**TOKENS, **JOURNEYS, **OIDC}


def assert_refused(answer: Response, house: House, log: pytest.LogCaptureFixture, reason: str, sentence: str) -> None:
    """Nobody is in; the log has one line with the reason, the page the sentence, and both the same reference."""
    assert not house.admitted
    assert 400 <= answer.status_code < 504
    assert answer.headers["Cache-Control"] == "no-store"
    assert "location" not in answer.headers
    words, _, reference = answer.text.partition(" Reference: ")
    assert words == sentence
    lines = [record.getMessage() for record in log.records if record.name == "provision.portal.signin"]
    assert len(lines) == 1
    head, _, told = lines[0].partition(f"reference {reference}: ")
    assert head.startswith("sign-in by ")
    assert told == reason or (told.endswith(reason) and told.startswith(("http://127.0.0.1", "the p", "no platform")))
    assert "\n" not in lines[0]


def assert_no_secret(visit: Visit, log: pytest.LogCaptureFixture) -> None:
    for each in (
        SECRET,
        "a canary of an access token",
        *(visit.said.get(name) for name in ("id_token", "code", "state")),
    ):
        assert not each or len(each) < 8 or each not in log.text


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


@pytest.mark.parametrize("attack", LTI_ATTACKS.values(), ids=LTI_ATTACKS.keys())
def test_lti(attack: Attack, platform: Platform, key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    open_browser = browsers(lti_settings(platform, key_file, **attack.settings), house)
    browser = open_browser()
    for name, value in attack.world.items():
        setattr(platform, name, value)
    platform.twist = attack.twist
    visit = Visit(house, open_browser, browser, from_platform(browser, platform))
    visit.again = lambda: from_platform(browser, platform)
    attack.before(visit)
    assert_refused(post_launch(visit), house, caplog, attack.reason, attack.sentence)
    assert_no_secret(visit, caplog)


@pytest.mark.parametrize("attack", OIDC_ATTACKS.values(), ids=OIDC_ATTACKS.keys())
def test_oidc(attack: Attack, issuer: Issuer, secret_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    open_browser = browsers(oidc_settings(issuer, secret_file, **attack.settings), house)
    browser = open_browser()
    issuer.twist = attack.twist
    visit = Visit(house, open_browser, browser, from_issuer(browser))
    visit.again = lambda: from_issuer(browser)
    attack.before(visit)
    assert_refused(get_callback(visit), house, caplog, attack.reason, attack.sentence)
    assert_no_secret(visit, caplog)


@pytest.mark.parametrize("way", ["lti", "oidc"])
def test_a_replay(
    way: str, issuer: Issuer, platform: Platform, key_file: Path, secret_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What got in once gets in no second time, from the same browser and on another portal with the same store."""
    house = House()
    settings = lti_settings(platform, key_file) if way == "lti" else oidc_settings(issuer, secret_file)
    browser, other = browsers(settings, house)(), browsers(settings, house)()
    said = from_platform(browser, platform) if way == "lti" else from_issuer(browser)
    other.cookies = browser.cookies
    send = post_launch if way == "lti" else get_callback
    assert send(Visit(house, lambda: browser, browser, said)).status_code == 303
    for each in (browser, other):
        caplog.clear()
        house.admitted.clear()
        answer = send(Visit(house, lambda: browser, each, said))
        assert_refused(answer, house, caplog, "the state was used before", say.LATE)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_leads_nowhere_else(
    target: str,
    issuer: Issuer,
    platform: Platform,
    key_file: Path,
    secret_file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    reason = f"{say.quoted(target)} leads out of the portal"
    answer = browsers(oidc_settings(issuer, secret_file), house)().get("/oidc/login", params={"to": target})
    assert_refused(answer, house, caplog, reason, say.ELSEWHERE)
    caplog.clear()
    said = {**platform.initiation(), "target_link_uri": target}
    answer = browsers(lti_settings(platform, key_file), house)().post("/lti/login", data=said)
    assert_refused(answer, house, caplog, reason, say.ELSEWHERE)


@pytest.mark.parametrize(("twist", "reason"), DISCOVERIES.values(), ids=DISCOVERIES.keys())
def test_discovery(
    twist: dict[str, str | None], reason: str, issuer: Issuer, secret_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    issuer.twist = Twist(discovery=twist)
    answer = browsers(oidc_settings(issuer, secret_file), house)().get("/oidc/login")
    told = f"{reason}{issuer.url}" if reason.endswith("not ") else reason
    assert_refused(answer, house, caplog, told, say.SETUP)


@pytest.mark.parametrize(("change", "reason", "sentence"), LOGINS.values(), ids=LOGINS.keys())
def test_logins(
    change: dict[str, str | None],
    reason: str,
    sentence: str,
    platform: Platform,
    key_file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    said = {name: value for name, value in {**platform.initiation(), **change}.items() if value is not None}
    answer = browsers(lti_settings(platform, key_file), house)().get("/lti/login", params=said)
    assert_refused(answer, house, caplog, reason, sentence)


def test_the_table_is_long_enough() -> None:
    assert len(LTI_ATTACKS) + len(OIDC_ATTACKS) + 2 * len(ELSEWHERE) + len(DISCOVERIES) + len(LOGINS) >= 60
