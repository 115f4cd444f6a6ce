"""What both ways of signing in ask of the portal, and how they read a request."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from provision.core.roster import Student
from provision.portal.person import Person
from provision.portal.signin.refusals import AGAIN, ELSEWHERE, RefusedError, quoted

BODY = 128 * 1024  # bytes of a form: an ID token with a hundred groups has 10 KiB
FIELDS = 64

Admit = Callable[[Request, Person, str], Awaitable[Response]]
Once = Callable[[str, str, float], bool]
Roster = Callable[[], Iterable[Student]]


@dataclass(frozen=True)
class House:
    """The portal. `url` is what browsers call it, without a slash at its end: a request's Host header says nothing."""

    url: str
    once: Once
    admit: Admit
    roster: Roster
    now: Callable[[], float] = time.time

    @property
    def tls(self) -> bool:
        """Whether browsers come by HTTPS: always, but for tests on the computer itself."""
        return self.url.startswith("https:")


async def parameters(request: Request) -> dict[str, str]:
    """What a query or a form says, each name once: of two values, one would be checked and the other used."""
    text = request.url.query if request.method == "GET" else (await _body(request)).decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError as exc:
        raise RefusedError(f"the request has more than {FIELDS} parameters", AGAIN) from exc
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise RefusedError(f"parameter {quoted(twice[0])} is there more than once", AGAIN)
    return dict(pairs)


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise RefusedError(f"the body is no form but {quoted(kind)}", AGAIN)
    held = b""
    async for chunk in request.stream():
        held += chunk
        if len(held) > BODY:
            raise RefusedError(f"the body has more than {BODY} bytes", AGAIN)
    return held


def local_path(url: str, target: str) -> str:
    """Where in the portal at `url` an address leads, as a path of it. Raises RefusedError if it leads anywhere else.

    Browsers take a backslash for a slash and drop tabs and line feeds (WHATWG URL, 4.4): such an address is none.
    """
    path = "/" if target == url else target.removeprefix(url) if target.startswith(f"{url}/") else target
    clean = path.isascii() and path.isprintable() and "\\" not in path and " " not in path
    if not clean or not path.startswith("/") or path.startswith("//") or urlsplit(path).netloc or len(path) > 500:
        raise RefusedError(f"{quoted(target)} leads out of the portal", ELSEWHERE)
    return path
