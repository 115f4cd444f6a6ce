"""A local learning environment: launches, deep linking, members. `twist` says what it does wrong."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet

from tests.portal.loopback import Answer, Asked, Claims, Twist, serving, without_none

CLIENT = "client-1"
DEPLOYMENT = "7"
CONTEXT = "course-351"
CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
DEEP = "https://purl.imsglobal.org/spec/lti-dl/claim/"
ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
# What a browser would post of a page: its one form's hidden fields.
_INPUT = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def form_fields(page: str) -> dict[str, str]:
    return dict(_INPUT.findall(page))


@dataclass
class Platform:
    """What it knows: who is signed in there, what they pressed, its members in pages, and the portal's keys."""

    url: str = ""
    user: dict[str, Any] = field(default_factory=dict)
    roles: list[str] = field(default_factory=lambda: [ROLE + "Learner"])
    target: str = ""
    message: str = "LtiResourceLinkRequest"
    twist: Twist = field(default_factory=Twist)
    pages: list[list[dict[str, Any]]] = field(default_factory=list)
    next_at: str = ""
    portal_keys: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def initiation(self) -> dict[str, str]:
        said = {"iss": self.url, "login_hint": "u1", "target_link_uri": self.target, "lti_message_hint": "m1"}
        return {**said, "client_id": CLIENT, "lti_deployment_id": DEPLOYMENT}

    def handle(self, asked: Asked) -> Answer:
        self.asked.append(asked.path)
        ways = {"/auth": self.auth, "/keys": self.keys, "/token": self.token, "/members": self.members}
        return ways[asked.path](asked)

    def auth(self, asked: Asked) -> Answer:
        wanted = {"scope": "openid", "response_type": "id_token", "response_mode": "form_post", "prompt": "none"}
        wanted |= {"client_id": CLIENT, "login_hint": "u1", "lti_message_hint": "m1"}
        assert asked.method == "GET"
        assert {name: asked.said[name] for name in wanted} == wanted
        fields = {"id_token": self.twist.token(self.claims(asked.said["nonce"])), "state": asked.said["state"]}
        shown = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">'
            for name, value in without_none({**fields, **self.twist.answer}).items()
        )
        return Answer(f'<form method="post" action="{escape(asked.said["redirect_uri"])}">{shown}</form>')

    def claims(self, nonce: str) -> Claims:
        now = int(time.time())
        held = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, **self.user}
        held |= {
            f"{CLAIM}message_type": self.message,
            f"{CLAIM}version": "1.3.0",
            f"{CLAIM}deployment_id": DEPLOYMENT,
            f"{CLAIM}roles": self.roles,
            f"{CLAIM}context": {"id": CONTEXT, "title": "TM351"},
        }
        if self.message == "LtiDeepLinkingRequest":
            back = {"deep_link_return_url": f"{self.url}/return", "accept_types": ["ltiResourceLink"], "data": "d1"}
            return {**held, f"{DEEP}deep_linking_settings": back}
        return {**held, f"{CLAIM}resource_link": {"id": "link-1"}, f"{CLAIM}target_link_uri": self.target}

    def keys(self, _: Asked) -> Answer:
        return Answer({"keys": self.twist.keys}, self.twist.keys_status)

    def token(self, asked: Asked) -> Answer:
        proof = jwt.decode(asked.said["client_assertion"], KeySet.import_key_set(self.portal_keys), ["RS256"]).claims  # type: ignore[arg-type]
        assert (proof["iss"], proof["sub"], proof["aud"]) == (CLIENT, CLIENT, f"{self.url}/token")
        assert asked.said["scope"] == SCOPE
        return Answer({"access_token": "a canary of an access token", "token_type": "Bearer", "expires_in": 60})

    def members(self, asked: Asked) -> Answer:
        assert asked.headers["Authorization"] == "Bearer a canary of an access token"
        number = int(asked.said.get("page", "0"))
        following = self.next_at or f"{self.url}/members"
        more = {"Link": f'<{following}?page={number + 1}>; rel="next"'} if number + 1 < len(self.pages) else {}
        return Answer({"id": "x", "members": self.pages[number]}, headers=more)

    def deep_link(self, token: str) -> Claims:
        """What a deep linking response says, proved by the portal's keys."""
        return jwt.decode(token, KeySet.import_key_set(self.portal_keys), ["RS256"]).claims  # type: ignore[arg-type]


@contextmanager
def local_platform() -> Iterator[Platform]:
    platform = Platform()
    with serving(platform.handle) as platform.url:
        yield platform
