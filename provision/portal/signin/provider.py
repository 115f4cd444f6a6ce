"""An OpenID provider: what it says of itself, and what it gives for a code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.discovery import get_well_known_url

from provision.portal.signin.keys import Keys
from provision.portal.signin.refusals import AGAIN, DOWN, SETUP, RefusedError, quoted
from provision.portal.signin.settings import OidcSettings, is_web
from provision.portal.signin.web import PATIENCE, read_json

KEPT = 3600.0  # seconds
PAUSE = 5.0  # seconds between two askings: a provider that is down is not waited for by everybody in turn
BASIC = "client_secret_basic"
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass
class Provider:
    """The provider, our secret with it, and a memory of its discovery document."""

    settings: OidcSettings
    secret: str
    back: str
    now: Callable[[], float]
    keys: Keys
    said: dict[str, Any] = field(default_factory=dict)
    read: float = 0.0
    asked: float = 0.0
    lock: Lock = field(default_factory=Lock)


def metadata(provider: Provider) -> dict[str, Any]:
    """What the provider says of itself (OpenID Connect Discovery 1.0). Raises RefusedError, also for lies."""
    with provider.lock:
        if provider.now() - provider.read > KEPT:
            if provider.now() - provider.asked < PAUSE:
                raise RefusedError("the provider's discovery document could not be read", DOWN)
            provider.asked = provider.now()
            said, _ = read_json(get_well_known_url(provider.settings.issuer, external=True))
            _check(said, provider.settings.issuer)
            provider.said, provider.read = said, provider.now()
        return provider.said


def _check(said: dict[str, Any], issuer: str) -> None:
    """Discovery, 4.3: it names the issuer that was asked, exactly; else its keys would speak for another."""
    if said.get("issuer") != issuer:
        raise RefusedError(f"the discovery document is of {quoted(said.get('issuer'))}, not {issuer}", SETUP)
    wrong = [name for name in NEEDED if not is_web(said.get(name))]
    wrong += [name for name in ("userinfo_endpoint", "end_session_endpoint") if not is_web(said.get(name, issuer))]
    if wrong:
        raise RefusedError(f"the discovery document's {', '.join(wrong)} is missing or no https:// address", SETUP)


def session(provider: Provider, **more: Any) -> OAuth2Session:
    """Authlib's client: it knows how to prove a client and how to write PKCE's challenge."""
    ways = metadata(provider).get("token_endpoint_auth_methods_supported") or [BASIC]
    return OAuth2Session(
        provider.settings.client_id,
        provider.secret,
        token_endpoint_auth_method=BASIC if BASIC in ways else "client_secret_post",
        scope=" ".join(provider.settings.scopes),
        redirect_uri=provider.back,
        code_challenge_method="S256",
        **more,
    )


def fetch_tokens(provider: Provider, code: str, verifier: str) -> dict[str, Any]:
    """The tokens for a code. Raises RefusedError."""
    url = metadata(provider)["token_endpoint"]
    try:
        with session(provider) as client:
            got = client.fetch_token(
                url,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                timeout=PATIENCE,
                allow_redirects=False,
            )
    except requests.RequestException as exc:
        raise RefusedError(f"{url} does not answer: {type(exc).__name__}", DOWN) from exc
    except AuthlibBaseError as exc:
        sentence = SETUP if exc.error in ("invalid_client", "unauthorized_client") else AGAIN
        raise RefusedError(f"the provider gives nothing for the code: {quoted(exc.error)}", sentence) from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise RefusedError(f"{url} answers no JSON object", DOWN) from exc
    if not isinstance(got.get("id_token"), str):
        raise RefusedError("the provider gives no ID token: is openid among the scopes?", SETUP)
    return dict(got)


def fetch_userinfo(provider: Provider, access_token: object, subject: str) -> dict[str, Any]:
    """Claims that are not in the ID token, of the same person (OpenID Connect Core, 5.3.2). Raises RefusedError."""
    url = metadata(provider).get("userinfo_endpoint")
    if not url:
        raise RefusedError("userinfo = true, but the provider has no userinfo endpoint", SETUP)
    held, _ = read_json(url, {"Authorization": f"Bearer {access_token}"})
    if held.get("sub") != subject:
        raise RefusedError("the provider's userinfo is somebody else's")
    return held
