"""A real HTTP server on loopback, and tokens as right and as wrong as a test wants them."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import RSAKey

Claims = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request: its form and its query are one."""

    method: str
    path: str
    said: dict[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What the server answers: JSON, unless it is text."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving(handle: Callable[[Asked], Answer]) -> Iterator[str]:
    """A server's address, until it is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            parts = urlsplit(self.path)
            said = dict(parse_qsl(parts.query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True))
            answer = handle(Asked(self.command, parts.path, said, dict(self.headers.items())))
            data = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data.encode())))
            self.end_headers()
            self.wfile.write(data.encode())

        do_POST = do_GET  # noqa: N815 (http.server names it)

        def log_message(self, *_: object) -> None:
            """Nothing: the test says what went wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def new_key(kid: str, size: int = 2048) -> RSAKey:
    return RSAKey.generate_key(size, {"kid": kid, "use": "sig"})


# The keys of both sides, and of somebody who has no business there. Made once: making is slow.
KEY, NEXT_KEY, STRANGER = new_key("first"), new_key("second"), new_key("first")

Sign = Callable[[Claims, dict[str, Any]], str]


def signed(claims: Claims, header: dict[str, Any], key: RSAKey = KEY) -> str:
    """A token as an honest issuer makes it."""
    return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key)


def part(held: object) -> str:
    data = held if isinstance(held, bytes) else json.dumps(held).encode()
    return urlsafe_b64encode(data).decode().rstrip("=")


def with_mac(claims: object, header: dict[str, Any], secret: bytes, digest: str = "sha256") -> str:
    """A token of which the signature is a MAC, as one forges it who knows public keys alone."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{mac_of(text, secret, digest)}"


def mac_of(text: str, secret: bytes, digest: str = "sha256") -> str:
    return part(hmac.digest(secret, text.encode(), digest))


def signed_raw(payload: object, header: dict[str, Any], key: RSAKey = KEY) -> str:
    """A token with a valid RS256 signature over anything, that no library would make."""
    text = f"{part({'alg': 'RS256', 'kid': key.kid, **header})}.{part(payload)}"
    return f"{text}.{part(key.private_key.sign(text.encode(), PKCS1v15(), SHA256()))}"  # type: ignore[union-attr]


def listed(*keys: Any, **more: str) -> list[dict[str, Any]]:
    return [{**key.as_dict(private=False), **more} for key in keys]


@dataclass
class Twist:
    """What is wrong on the other side. Nothing, unless it is said."""

    claims: Callable[[Claims], object] = lambda claims: None
    header: dict[str, Any] = field(default_factory=dict)
    sign: Sign = signed
    keys: list[dict[str, Any]] = field(default_factory=lambda: listed(KEY))
    keys_status: int = 200
    discovery: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, str | None] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    token_body: object = None
    userinfo: dict[str, Any] = field(default_factory=dict)
    client_secret: str = "a canary of a client secret"

    def token(self, claims: Claims) -> str:
        self.claims(claims)
        return self.sign(claims, self.header)


def without_none(held: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if value is not None}
