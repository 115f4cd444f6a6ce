"""A local OpenID provider: discovery, codes with PKCE, tokens, userinfo, logout. `twist` says what it does wrong."""

import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlencode

from tests.portal.loopback import Answer, Asked, Twist, serving, without_none

CLIENT = "portal"


def half_hash(text: str) -> str:
    return urlsafe_b64encode(sha256(text.encode()).digest()[:16]).decode().rstrip("=")


@dataclass
class Issuer:
    """What it knows: who is signed in there, which codes are out, and which requests came."""

    url: str = ""
    user: dict[str, Any] = field(default_factory=dict)
    twist: Twist = field(default_factory=Twist)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def handle(self, asked: Asked) -> Answer:
        self.asked.append(asked.path)
        ways = {
            "/.well-known/openid-configuration": self.discovery,
            "/authorize": self.authorize,
            "/token": self.token,
            "/keys": self.keys,
            "/userinfo": self.userinfo,
        }
        return ways[asked.path](asked)

    def discovery(self, _: Asked) -> Answer:
        said = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/logout",
            "authorization_response_iss_parameter_supported": True,
        }
        return Answer(without_none({**said, **self.twist.discovery}))

    def authorize(self, asked: Asked) -> Answer:
        assert asked.said["response_type"] == "code"
        assert asked.said["client_id"] == CLIENT
        assert asked.said["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked.said
        answer = {"code": code, "state": asked.said["state"], "iss": self.url}
        query = urlencode(without_none({**answer, **self.twist.answer}))
        return Answer("", 302, {"Location": f"{asked.said['redirect_uri']}?{query}"})

    def token(self, asked: Asked) -> Answer:
        if self.twist.token_status != 200:
            return Answer("", self.twist.token_status, {"Location": f"{self.url}/keys"})
        client, _, secret = b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
        if (client, unquote(secret)) != (CLIENT, self.twist.client_secret):
            return Answer({"error": "invalid_client"}, 401)
        question = self.codes.pop(asked.said.get("code", ""), None)
        challenge = urlsafe_b64encode(sha256(asked.said["code_verifier"].encode()).digest()).decode().rstrip("=")
        if question is None or question["code_challenge"] != challenge:
            return Answer({"error": "invalid_grant"}, 400)
        assert question["redirect_uri"] == asked.said["redirect_uri"]
        now, access = int(time.time()), "a canary of an access token"
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": question["nonce"]}
        claims |= {"at_hash": half_hash(access), **self.user}
        tokens = {"access_token": access, "token_type": "Bearer", "id_token": self.twist.token(claims)}
        return Answer(self.twist.token_body or without_none({**tokens, **self.twist.tokens}))

    def keys(self, _: Asked) -> Answer:
        return Answer({"keys": self.twist.keys}, self.twist.keys_status)

    def userinfo(self, asked: Asked) -> Answer:
        assert asked.headers["Authorization"] == "Bearer a canary of an access token"
        return Answer({"sub": self.user["sub"], **self.twist.userinfo})


@contextmanager
def local_issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    with serving(issuer.handle) as issuer.url:
        yield issuer
