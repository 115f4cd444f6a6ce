"""What is asked again, and when: the one policy for every call to a cloud. Time and chance are given."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

AGAIN = frozenset({429, 500, 502, 503, 504})
FIRST, LONGEST = 0.5, 30.0  # seconds, doubled from one try to the next
ASKED_FOR_LONGEST = 120.0  # seconds that a cloud may ask us to wait: more is taken as this
_SIGN_IN = re.compile(r"/auth/tokens/?$")


def is_repeatable(method: str, path: str) -> bool:
    """Whether a call changes nothing, so that it may be sent twice. Signing in gives one more token, no more."""
    return method in ("GET", "HEAD") or (method == "POST" and _SIGN_IN.search(path) is not None)


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3); None if it is none."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", value):
        return min(float(value), ASKED_FOR_LONGEST)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now), ASKED_FOR_LONGEST)


def pause(tries: int, asked_for: float | None, chance: float) -> float:
    """Seconds to wait after so many tries: as long as the cloud asks for, else doubling. 0 <= chance < 1 spreads them.

    All threads of a run meet the same trouble at once: what is asked for is spread as well, and never made shorter.
    """
    if asked_for is not None:
        return asked_for + chance * min(1.0, asked_for)
    return float(min(LONGEST, FIRST * 2.0 ** min(tries - 1, 16)) * (1 + chance) / 2)


def is_whole(content_type: str, body: bytes) -> bool:
    """Whether an answer can be what it says: no page of a proxy in its place, and JSON not cut off.

    Counting is cheap, and finds every cut. Only when it does not come out even is the body read.
    """
    if "html" in content_type:
        return False
    if "json" not in content_type:
        return True
    text = body.strip()
    even = all(text.count(left) == text.count(right) for left, right in ((b"{", b"}"), (b"[", b"]")))
    return (even and text[:1] in (b"{", b"[") and text[-1:] in (b"}", b"]")) or _parses(text)


def _parses(text: bytes) -> bool:
    import json

    try:
        json.loads(text)
    except ValueError:
        return False
    return True
