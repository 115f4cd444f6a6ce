"""A portal that has the two ways of signing in and nothing else, and browsers that come to it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from httpx2 import Response as Answer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.testclient import TestClient

from provision.core.roster import Student
from provision.portal.person import Person
from provision.portal.signin import lti, oidc
from provision.portal.signin.settings import LtiSettings, OidcSettings
from tests.portal import issuer as issuers
from tests.portal import platform as platforms
from tests.portal.loopback import new_key

URL = "https://portal.test"
ROSTER = (
    Student("ada", "Ada Lovelace", "ada@uni.test", ("ssh-ed25519 AAAA",)),
    Student("Grace", "Grace Hopper", "grace@uni.test"),
    Student("twin1", "Castor", "twins@uni.test"),
    Student("twin2", "Pollux", "twins@uni.test"),
)
OWN = new_key("own").as_pem(private=True).decode()
SECRET = "a canary of a client secret"


@dataclass
class House:
    """What the portal gives the ways of signing in, and who came in."""

    later: float = 0.0
    used: set[tuple[str, str]] = field(default_factory=set)
    admitted: list[tuple[Person, str]] = field(default_factory=list)

    def once(self, kind: str, value: str, seconds: float) -> bool:
        assert seconds > 0
        first = (kind, value) not in self.used
        self.used.add((kind, value))
        return first

    async def admit(self, _: Request, person: Person, path: str) -> Response:
        self.admitted.append((person, path))
        return RedirectResponse(path, 303)

    def now(self) -> float:
        return time.time() + self.later


@dataclass
class Visit:
    """A browser that is on its way back to the portal, with what the other side gave it."""

    house: House
    open: Callable[[], TestClient]
    browser: TestClient
    said: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    kind: str = "application/x-www-form-urlencoded"
    again: Callable[[], dict[str, str]] = dict  # another answer of the other side


def browsers(settings: LtiSettings | OidcSettings, house: House) -> Callable[[], TestClient]:
    make: Any = lti.routes if isinstance(settings, LtiSettings) else oidc.routes
    app = Starlette(routes=make(settings, house.once, house.admit, lambda: ROSTER, URL, house.now))
    return lambda: TestClient(app, base_url=URL, follow_redirects=False)


def lti_settings(platform: platforms.Platform, key: Any, **more: Any) -> LtiSettings:
    url = platform.url
    held = {"issuer": url, "client_id": platforms.CLIENT, "deployments": [platforms.DEPLOYMENT]}
    held |= {"contexts": [platforms.CONTEXT], "auth_url": f"{url}/auth", "token_url": f"{url}/token"}
    held |= {"keys_url": f"{url}/keys", "memberships_url": f"{url}/members", "student": "email"}
    return LtiSettings.model_validate({"key_file": key, "platform": [{**held, **more}]})


def oidc_settings(issuer: issuers.Issuer, secret: Any, **more: Any) -> OidcSettings:
    held = {"issuer": issuer.url, "client_id": issuers.CLIENT, "client_secret_file": secret}
    return OidcSettings.model_validate({**held, "staff_values": ["tm351-staff"], **more})


def from_platform(browser: TestClient, platform: platforms.Platform) -> dict[str, str]:
    """Press the link, be asked who one is, and get what is to be posted to the portal."""
    there = browser.get("/lti/login", params=platform.initiation())
    assert there.status_code == 302, there.text
    page = requests.get(there.headers["Location"], timeout=10)
    assert page.status_code == 200, page.text
    return platforms.form_fields(page.text)


def from_issuer(browser: TestClient, to: str = "/") -> dict[str, str]:
    """Go to the sign-in page, and get what it sends back to the portal."""
    there = browser.get("/oidc/login", params={"to": to})
    assert there.status_code == 302, there.text
    back = requests.get(there.headers["Location"], timeout=10, allow_redirects=False).headers["Location"]
    assert back.startswith(f"{URL}/oidc/callback?")
    return dict(parse_qsl(urlsplit(back).query))


def post_launch(visit: Visit) -> Answer:
    body = urlencode(visit.said) if visit.body is None else visit.body
    answer: Answer = visit.browser.post("/lti/launch", content=body, headers={"Content-Type": visit.kind})
    return answer


def get_callback(visit: Visit) -> Answer:
    answer: Answer = visit.browser.get("/oidc/callback", params=visit.said)
    return answer
