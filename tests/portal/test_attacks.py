"""What must let nobody in, and must not be done for anybody else: a table of tries, none of which succeeds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from provision.portal.app import make_app
from provision.portal.entry import TRIES, WINDOW, local
from provision.portal.guard import HEADERS
from provision.portal.store import hashed, open_store
from provision.portal.visit import Portal
from tests.simulator import world
from tests.simulator.conftest import a_simulator

from .conftest import HOST, Page, a_desk, csrf, settings

ADDRESSES = count(1)
MINE = {"csrf": "{csrf}"}


@dataclass(frozen=True)
class Attack:
    """A request, made as nobody, or as one who signed in; what is in braces is replaced. `status` is the answer's."""

    name: str
    method: str
    path: str
    status: int
    who: str = ""
    form: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str = ""


ATTACKS = (
    # Links
    Attack("a link that nobody made", "POST", "/link/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 403),
    Attack("a link that was used", "POST", "{used}", 403),
    Attack("a link that is too old", "POST", "{old}", 403),
    Attack("a link that a newer one replaced", "POST", "{replaced}", 403),
    Attack("a link cut short", "POST", "{cut}", 403),
    Attack("a link with more behind it", "POST", "{link}x", 403),
    Attack("a link in other capitals", "POST", "{swapped}", 403),
    Attack("what the database holds of a link", "POST", "{hash}", 403),
    Attack("a link in two parts", "POST", "/link/a/b", 405),
    Attack("no link", "POST", "/link/", 405),
    Attack("SQL in a link", "POST", "/link/' OR '1'='1", 403),
    Attack("a wildcard in a link", "POST", "/link/%25", 403),
    Attack("a zero byte in a link", "POST", "/link/%00", 403),
    Attack("a good link posted from another site", "POST", "{link}", 403, headers={"Sec-Fetch-Site": "cross-site"}),
    Attack("a good link posted from a neighbour", "POST", "{link}", 403, headers={"Sec-Fetch-Site": "same-site"}),
    Attack("a good link with another origin", "POST", "{link}", 403, headers={"Origin": "https://evil.test"}),
    Attack("a good link with no origin's name", "POST", "{link}", 403, headers={"Origin": "null"}),
    Attack("a good link only looked at", "GET", "{link}", 200),
    # Sessions
    Attack("nobody's start", "POST", "/start", 401),
    Attack("nobody's place", "GET", "/place", 303),
    Attack("nobody's events", "GET", "/events", 204),
    Attack("a made-up session", "GET", "/place", 303, cookie="AAAA"),
    Attack("what the database holds of a session", "GET", "/place", 303, cookie="{session hash}"),
    Attack("a session that was signed out", "GET", "/place", 303, cookie="{ended}"),
    Attack("a session that a new sign-in ended", "GET", "/place", 303, cookie="{rotated}"),
    Attack("a link's word as a session", "GET", "/place", 303, cookie="{word}"),
    Attack("an empty session", "POST", "/start", 401, cookie="", form=MINE),
    # Forms
    Attack("a form without its word", "POST", "/start", 403, "student"),
    Attack("a form with an empty word", "POST", "/start", 403, "student", {"csrf": ""}),
    Attack("a form with a made-up word", "POST", "/start", 403, "student", {"csrf": "AAAA"}),
    Attack("a form with another's word", "POST", "/start", 403, "student", {"csrf": "{their csrf}"}),
    Attack("a word that is not ASCII", "POST", "/start", 403, "student", {"csrf": "é"}),
    Attack("the word in the address", "POST", "/start?csrf={csrf}", 403, "student"),
    Attack("the word in a header", "POST", "/start", 403, "student", headers={"X-CSRF-Token": "{csrf}"}),
    Attack("a good form from another site", "POST", "/start", 403, "student", MINE, {"Sec-Fetch-Site": "cross-site"}),
    Attack("a good form from a neighbour", "POST", "/start", 403, "student", MINE, {"Sec-Fetch-Site": "same-site"}),
    Attack("a good form of another origin", "POST", "/start", 403, "student", MINE, {"Origin": "http://evil.test"}),
    Attack("an origin like ours", "POST", "/start", 403, "student", MINE, {"Origin": f"http://{HOST}.evil.test"}),
    Attack("our origin on another port", "POST", "/start", 403, "student", MINE, {"Origin": f"http://{HOST}:81"}),
    Attack("no origin's name", "POST", "/start", 403, "student", MINE, {"Origin": "null"}),
    Attack("a start by an address alone", "GET", "/start", 404, "student"),
    Attack("another method", "PUT", "/start", 405, "student", MINE),
    Attack("a signing out from elsewhere", "POST", "/sign-out", 403, "student"),
    Attack("a form without an end", "POST", "/start", 413, "student", {"csrf": "A" * 300_000}),
    # Others' machines, and staff's pages
    Attack("the class, as a student", "GET", "/staff", 403, "student"),
    Attack("the class's table, as a student", "GET", "/staff/table", 403, "student"),
    Attack("the log, as a student", "GET", "/staff/audit", 403, "student"),
    Attack("staff's actions, as a student", "POST", "/staff/act", 403, "student",
           {**MINE, "action": "start", "student": "s0002"}),
    Attack("a handout, as a student", "POST", "/staff/handout", 403, "student", {**MINE, "student": "s0001"}),
    Attack("the class, as nobody", "GET", "/staff", 303),
    Attack("a handout, as nobody", "POST", "/staff/handout", 401, form={"student": "s0001"}),
    Attack("a student's page, as staff", "GET", "/place", 403, "staff"),
    Attack("a student's button, as staff", "POST", "/start", 403, "staff", MINE),
    Attack("an action that there is not", "POST", "/staff/act", 404, "staff", {**MINE, "action": "delete"}),
    Attack("a handout outside the folder", "POST", "/staff/handout", 404, "staff", {**MINE, "student": "../../key"}),
    Attack("a student who is not in the roster", "POST", "/staff/act", 404, "staff",
           {**MINE, "action": "start", "student": "mallory"}),
    # Hosts and paths
    Attack("another host", "GET", "/", 400, headers={"Host": "evil.test"}),
    Attack("another host's form", "POST", "/start", 400, "student", MINE, {"Host": "evil.test"}),
    Attack("a host with ours in it", "GET", "/", 400, headers={"Host": f"{HOST}.evil.test"}),
    Attack("a host below ours", "GET", "/", 400, headers={"Host": f"evil.{HOST}"}),
    Attack("a user in the host", "GET", "/", 400, headers={"Host": f"{HOST}@evil.test"}),
    Attack("a path in the host", "GET", "/", 400, headers={"Host": f"{HOST}/evil.test"}),
    Attack("no host", "GET", "/", 400, headers={"Host": ""}),
    Attack("a file beside the static ones", "GET", "/static/../app.py", 404),
    Attack("the same, encoded", "GET", "/static/%2e%2e/app.py", 404),
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One page for the whole table: nothing in it changes anything."""
    folder = tmp_path_factory.mktemp("portal")
    with pytest.MonkeyPatch.context() as patch, a_simulator(folder, patch) as simulator:
        engine = open_store(f"sqlite:///{folder}/portal.db", world.COHORT)
        with a_desk(folder, simulator, engine) as desk:
            simulator.clock.sleep(5)
            yield Page(Portal(desk, engine, settings()), simulator)
        engine.dispose()


def stranger(page: Page) -> TestClient:
    """A browser at an address of its own."""
    address = f"10.0.{next(ADDRESSES)}.1"
    return TestClient(
        make_app(page.portal), base_url=f"http://{HOST}", follow_redirects=False, client=(address, 50_000)
    )


@pytest.fixture(scope="module")
def things(page: Page) -> dict[str, str]:
    """What an attacker may have come by."""
    used, replaced = page.link("s0000"), page.link("s0001")
    known = page.enter("s0000", stranger(page))
    known.post(used)
    victim = page.enter("s0002", stranger(page))
    ended, rotated = page.enter("s0001", stranger(page)), page.enter("s0001", stranger(page))
    gone, before = ended.cookies["session"], rotated.cookies["session"]
    ended.post("/sign-out", data={"csrf": csrf(ended.get("/"))})
    page.enter("s0001", rotated)
    old, link = page.link("s0002", seconds=-1), page.link("s0001")
    assert replaced != link
    return {
        "used": used,
        "old": old,
        "replaced": replaced,
        "link": link,
        "cut": link[:-1],
        "swapped": f"/link/{link.removeprefix('/link/').swapcase()}",
        "hash": f"/link/{hashed(link.removeprefix('/link/'))}",
        "word": link.removeprefix("/link/"),
        "session hash": hashed(victim.cookies["session"]),
        "ended": gone,
        "rotated": before,
        "their csrf": csrf(victim.get("/")),
    }


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_none_succeeds(attack: Attack, page: Page, things: dict[str, str]) -> None:
    browser = stranger(page)
    if attack.who:
        page.enter("s0000" if attack.who == "student" else None, browser)
        things = {**things, "csrf": csrf(browser.get("/", follow_redirects=True))}
    had = browser.cookies.get("session")

    def filled(text: str) -> str:
        for name, value in things.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    if attack.cookie:
        browser.cookies.set("session", filled(attack.cookie))
        had = filled(attack.cookie)
    answer = browser.request(
        attack.method,
        filled(attack.path),
        data={name: filled(value) for name, value in attack.form.items()} or None,
        headers={name: filled(value) for name, value in attack.headers.items()},
    )
    assert answer.status_code == attack.status
    assert browser.cookies.get("session") == had
    assert "evil" not in answer.text
    assert answer.headers.get("location", "/") == "/"
    assert page.desk.wishes == {}


def test_there_are_as_many_as_are_asked_for() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 60


def test_nobody_guesses_for_long(page: Page) -> None:
    browser, good = stranger(page), page.link("s0001")
    for number in range(TRIES):
        assert browser.post(f"/link/guess{number}").status_code == 403
    refused = browser.post(good)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, f"{WINDOW:.0f}")
    assert page.enter("s0002", stranger(page)).get("/place").status_code == 200  # others come in
    page.sleep(WINDOW + 1)
    assert browser.post(good).status_code == 303


def test_a_session_that_was_planted_is_not_the_one_that_signs_in(page: Page) -> None:
    browser = stranger(page)
    browser.cookies.set("session", "planted")
    page.enter("s0001", browser)
    thief = stranger(page)
    thief.cookies.set("session", "planted")
    assert thief.get("/place").status_code == 303


PATHS = ("/", "/place", "/healthz", "/nothing", "/static/portal.css", "/link/x", "/staff", "/static/nothing")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["", "s0001"])
def test_headers(page: Page, path: str, who: str) -> None:
    browser = stranger(page)
    if who:
        page.enter(who, browser)
    headers = browser.get(path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in headers["content-security-policy"]
    assert "strict-transport-security" not in headers
    assert (headers.get("cache-control") == "no-store") == (not path.startswith("/static/"))


def test_over_https_the_cookie_is_for_this_host_alone(page: Page) -> None:
    secure = replace(page.portal, settings=settings(secure=True))
    browser = TestClient(make_app(secure), base_url=f"https://{HOST}", follow_redirects=False)
    answer = browser.post(page.link("s0001"))
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/", "/"),
        ("/staff?q=1", "/staff?q=1"),
        ("//evil.test", "/"),
        ("///evil.test", "/"),
        ("/\\evil.test", "/"),
        ("\\\\evil.test", "/"),
        ("https://evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("evil.test", "/"),
        ("", "/"),
        ("/\tevil", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("/é", "/"),
    ],
)
def test_nobody_is_led_away(path: str, leads: str) -> None:
    assert local(path) == leads


def test_what_is_written_on_the_page_is_text(page: Page, tmp_path: Path) -> None:
    browser = stranger(page)
    browser.post(page.link(None, "<script>alert(1)</script>"))
    for path in ("/staff", "/staff/audit", "/staff?q=<script>&state=<script>", "/staff?done=<b>&count=<b>"):
        text = browser.get(path).text
        assert "<script>" not in text
        assert "<b>" not in text
