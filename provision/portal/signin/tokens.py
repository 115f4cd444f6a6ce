"""An ID token: opened with its issuer's key, and read for what makes it this sign-in's (OpenID Connect Core, 3.1.3.7).

The checks are our own, for Authlib's stop at the first that fails and take further audiences; signatures are joserfc's.
"""

from collections.abc import Iterator
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError

from provision.portal.signin.keys import KINDS, Keys, key_for
from provision.portal.signin.refusals import AGAIN, LATE, RefusedError, quoted

SKEW = 60.0  # seconds that the other side's clock may be wrong
AGE = 600.0  # seconds that a token may be old
LENGTH = 64 * 1024

Claims = dict[str, Any]
Problem = tuple[str, str]  # why, for staff; what the person reads


def opened(token: str, keys: Keys, url: str) -> tuple[dict[str, Any], Claims]:
    """A token's header and claims, its signature proved by a key that `url` lists. Raises RefusedError."""
    if len(token) > LENGTH:
        raise RefusedError(f"the token has more than {LENGTH} characters")
    try:
        header = jws.extract_compact(token.encode(), registry=_registry([*KINDS])).headers()
    except (JoseError, ValueError, TypeError, AttributeError) as exc:
        raise RefusedError("the token is not a signed JWT") from exc
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in KINDS:
        raise RefusedError(f"the token's algorithm is {quoted(alg)}")
    if not isinstance(kid, str | None):
        raise RefusedError("the token's key id is not text")
    key = key_for(keys, url, kid, alg)
    try:
        return header, jwt.decode(token, key, registry=_registry([alg])).claims
    except (JoseError, ValueError, TypeError) as exc:
        raise RefusedError(f"the token does not stand: {type(exc).__name__}") from exc


def _registry(algorithms: list[str]) -> jws.JWSRegistry:
    """What joserfc takes: headers that it does not know, unless they are critical, and more than its own 512 bytes.

    A certificate in a header (x5c) needs 2000.
    """
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.max_header_length = LENGTH
    return registry


def token_problems(claims: Claims, issuer: str, client: str, nonce: str, now: float) -> Iterator[Problem]:
    """What keeps a token from being the answer to our question, here and now."""
    if claims.get("iss") != issuer:
        yield f"iss is {quoted(claims.get('iss'))}", AGAIN
    audience = claims.get("aud")
    if audience not in (client, [client]):  # a further audience could use the token here
        yield f"aud is {quoted(audience)}", AGAIN
    if claims.get("azp", client) != client:
        yield f"azp is {quoted(claims['azp'])}", AGAIN
    if claims.get("nonce") != nonce:
        yield "nonce is not this sign-in's", AGAIN
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        yield f"sub is {quoted(subject)}", AGAIN
    yield from _time_problems(claims, now)


def _time_problems(claims: Claims, now: float) -> Iterator[Problem]:
    times: Claims = {name: claims.get(name) for name in ("exp", "iat", "nbf") if name in claims or name != "nbf"}
    wrong = [name for name, value in times.items() if not _is_time(value)]
    yield from ((f"{name} is {quoted(times[name])}", AGAIN) for name in wrong)
    if wrong:
        return
    if times["exp"] <= now - SKEW:
        yield "exp is past", LATE
    if times["iat"] < now - AGE:
        yield f"iat is more than {AGE:.0f} s ago", LATE
    yield from ((f"{name} is ahead", AGAIN) for name in ("iat", "nbf") if times.get(name, 0) > now + SKEW)


def _is_time(value: object) -> bool:
    """A number of seconds, and not NaN, infinite, or too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def refuse_any(problems: Iterator[Problem]) -> None:
    """Raises RefusedError with every problem, and the first one's sentence."""
    found = list(problems)
    if found:
        raise RefusedError("; ".join(reason for reason, _ in found), found[0][1])
