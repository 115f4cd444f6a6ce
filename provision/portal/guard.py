"""What stands before every page: which hosts are ours, who may post from where, what a browser may do with it."""

import logging
import re
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("provision.portal")

LIMIT = 256 * 1024  # bytes of a request's body: an LTI message is the largest
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers post our own forms with "Origin: null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_SECRET = re.compile(r"^(/link/).+")


class Guard:
    """Starlette's own way to stand before all routes, which is a class. `foreign` are paths that others may post to."""

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...], secure: bool, foreign: tuple[str, ...] = ()) -> None:
        self.app, self.hosts, self.secure, self.foreign = app, hosts, secure, foreign

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope["request_id"] = secrets.token_hex(6)
        begun, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._harden(scope, MutableHeaders(scope=message))
            await send(message)

        refusal = self._refusal(scope)
        try:
            await (refusal or self.app)(scope, _bounded(receive), sent)
        except _TooLongError:
            await PlainTextResponse("Too long.", 413)(scope, receive, sent)
        finally:
            path = _SECRET.sub(r"\1...", scope["path"])  # and never the query: it may hold what lets somebody in
            took = (time.monotonic() - begun) * 1000
            log.info("%s %s %r %d in %.0f ms", scope["request_id"], scope["method"], path, status, took)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self.hosts:
            return PlainTextResponse("This is not the address of this page.", 400)
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or scope["path"] in self.foreign:
            return None
        if not _is_ours(headers, hosts[0]):
            return PlainTextResponse("Another site sent this form.", 403)
        return None

    def _harden(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if not scope["path"].startswith("/static/"):
            headers["Cache-Control"] = "no-store"
        headers["X-Request-Id"] = scope["request_id"]
        if self.secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"


def _name(host: str) -> str:
    """The host's name without its port."""
    found = re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", host)
    return found[1].lower().rstrip(".") if found else ""


def _is_ours(headers: Headers, host: str) -> bool:
    """Whether the form that is posted is from our own page, as far as the browser says it."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


class _TooLongError(Exception):
    """A body that no form of ours has."""


def _bounded(receive: Receive) -> Receive:
    size = 0

    async def received() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LIMIT:
            raise _TooLongError
        return message

    return received
