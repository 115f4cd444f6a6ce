"""From the portal to the sign-in page and back: a state that the portal signs and the browser alone can bring back.

Nothing is kept on the way, so that any portal behind one address can answer whoever comes back. The state names the
journey and is bound to a cookie; nonce and PKCE's verifier follow from it and a key that does not leave the portal.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request
from starlette.responses import Response

from provision.portal.signin.house import House
from provision.portal.signin.refusals import BROWSER, LATE, RefusedError

JOURNEY = 600.0  # seconds: time to type a password and find a second factor
COOKIE = 3600
_SECRET = re.compile(r"[\w-]{43}")

Way = Literal["oidc", "lti"]


@dataclass(frozen=True)
class Journey:
    """One way there and back: to `issuer` as `client`, and then to `path` of the portal. `browser` is the cookie."""

    way: Way
    issuer: str
    client: str
    path: str
    browser: str
    id: str


def stretched(secret: bytes, way: Way) -> bytes:
    """A key for journeys of one way, from a secret that the portal has anyway (RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=f"provision sign-in {way}".encode()).derive(secret)


def begin(request: Request, house: House, way: Way, to: tuple[str, str], path: str) -> Journey:
    """A new journey to an issuer, as a client of it. A browser keeps its cookie: two tabs are two journeys of one."""
    held = request.cookies.get(_cookie(way, house), "")
    browser = held if _SECRET.fullmatch(held) else secrets.token_urlsafe(32)
    return Journey(way, *to, path, browser, secrets.token_urlsafe(16))


def state_of(key: bytes, journey: Journey, now: float) -> str:
    """What goes through the other side's hands and comes back."""
    claims = {
        **{"jti": journey.id, "iss": journey.issuer, "client": journey.client},
        **{"path": journey.path, "browser": _fingerprint(journey.browser), "exp": now + JOURNEY},
    }
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(key), algorithms=["HS256"])


def derived(key: bytes, journey: Journey, purpose: str) -> str:
    """A secret of this journey alone: 43 letters, as PKCE's verifier must be (RFC 7636, 4.1)."""
    words = f"{purpose} {journey.way} {journey.id} {journey.browser}".encode()
    return urlsafe_b64encode(hmac.digest(key, words, "sha256")).decode().rstrip("=")


def with_cookie(response: Response, journey: Journey, house: House) -> Response:
    """Binds the journey to this browser.

    LTI comes back by a form of another site, which only SameSite=None reaches, and in a frame only Partitioned: that
    is written here because http.cookies knows it from Python 3.14 on.
    """
    cookie = f"{_cookie(journey.way, house)}={journey.browser}; Max-Age={COOKIE}; Path=/; HttpOnly"
    secure = "; Secure" if house.tls else ""
    cross = "; SameSite=None; Partitioned" if journey.way == "lti" and house.tls else "; SameSite=Lax"
    response.headers.append("Set-Cookie", cookie + secure + cross)
    response.headers["Cache-Control"] = "no-store"
    return response


def resume(key: bytes, request: Request, way: Way, state: str, house: House) -> Journey:
    """The journey that `state` ends; no second time. Raises RefusedError for everybody else's."""
    try:
        claims = jwt.decode(state, OctKey.import_key(key), algorithms=["HS256"]).claims
    except (JoseError, ValueError) as exc:
        raise RefusedError("the state is not one of this portal's") from exc
    browser = request.cookies.get(_cookie(way, house), "")
    if not browser:
        raise RefusedError("the browser sent no cookie of this sign-in", BROWSER)
    if not hmac.compare_digest(_fingerprint(browser), claims["browser"]):
        raise RefusedError("the state is another browser's", BROWSER)
    if claims["exp"] < house.now():
        raise RefusedError(f"the state is older than {JOURNEY:.0f} seconds", LATE)
    if not house.once(f"{way}-state", claims["jti"], JOURNEY + 60):
        raise RefusedError("the state was used before", LATE)
    return Journey(way, claims["iss"], claims["client"], claims["path"], browser, claims["jti"])


def _cookie(way: Way, house: House) -> str:
    """With __Host-, no page of a neighbouring host can set it (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-signin-{way}" if house.tls else f"signin-{way}"


def _fingerprint(browser: str) -> str:
    return sha256(browser.encode()).hexdigest()
