"""The other side's public keys: kept for an hour, asked for again when an unknown one appears, but not at any pace."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from provision.portal.signin.refusals import DOWN, RefusedError, quoted
from provision.portal.signin.web import read_json

KEPT = 3600.0  # seconds; a key that is withdrawn is trusted no longer than this
PAUSE = 30.0  # seconds between two askings, whatever key ids are made up meanwhile
MOST = 50

PublicKey = RSAKey | ECKey | OKPKey
# The algorithms that are taken, each with its kind of key. None and HMAC are not among them: what is public would sign.
KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "Ed25519": "OKP",
    "EdDSA": "OKP",  # RFC 9864 wants it called Ed25519; issuers go on with the old name
}


@dataclass
class Keys:
    """One side's keys. It changes, under its lock, and is a memory alone: what is lost is asked for again."""

    now: Callable[[], float]
    known: dict[str, PublicKey] = field(default_factory=dict)
    read: float = 0.0
    asked: float = 0.0
    lock: Lock = field(default_factory=Lock)


def key_for(keys: Keys, url: str, kid: str | None, alg: str) -> PublicKey:
    """The key that a token's header names, of the kind that its algorithm wants. Raises RefusedError."""
    with keys.lock:
        stale = keys.now() - keys.read > KEPT
        if stale or _choose(keys.known, kid) is None:
            _ask(keys, url, stale)
        key = _choose(keys.known, kid)
    if not keys.known:
        raise RefusedError("the issuer's list of keys has none, or could not be read", DOWN)
    if key is None:
        raise RefusedError(f"no key of the issuer has the id {quoted(kid)}")
    if key.key_type != KINDS[alg] or key.get("alg", alg) != alg:
        raise RefusedError(f"the key {quoted(kid)} is not one for {alg}")
    return key


def _choose(known: dict[str, PublicKey], kid: str | None) -> PublicKey | None:
    """Without an id there is no choice only if there is one key (OpenID Connect Core, 10.1)."""
    if kid is None:
        return next(iter(known.values())) if len(known) == 1 else None
    return known.get(kid)


def _ask(keys: Keys, url: str, stale: bool) -> None:
    """The keys anew. While the other side is down, those that are not yet stale stay."""
    if stale:
        keys.known = {}
    if keys.now() - keys.asked < PAUSE:
        return
    keys.asked = keys.now()
    held, _ = read_json(url)
    keys.known = _usable(held.get("keys"))
    keys.read = keys.now()


def _usable(listed: Any) -> dict[str, PublicKey]:
    """The public keys for signatures that are strong enough. Others may stand in the list, and are nobody's."""
    found: dict[str, PublicKey] = {}
    for each in (listed if isinstance(listed, list) else [])[:MOST]:
        key = _imported(each) if isinstance(each, dict) and each.get("use", "sig") == "sig" else None
        if key is not None:
            found.setdefault(key.kid or "", key)
    return found


def _imported(each: dict[str, Any]) -> PublicKey | None:
    if each.get("kty") not in KINDS.values() or "d" in each:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SecurityWarning)  # an RSA key of less than 2048 bits
            key = JWKRegistry.import_key(each)
            key.check_use("sig")
    except (JoseError, SecurityWarning, ValueError, TypeError):
        return None
    return key if isinstance(key, PublicKey) else None
