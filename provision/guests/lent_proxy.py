"""A small HTTP proxy that leads to a few named places, for one machine, while a command runs.

It listens on this computer's loopback, wants a password that is made for each run, and goes out as this computer does,
through its own proxy if it has one. Nothing is kept.
"""

import hmac
import select
import socket
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import requests

HERE, USER = "127.0.0.1", "lent"
CONNECT = 30.0  # seconds
IDLE = 300.0  # seconds after which a connection on which nothing moves is closed
BLOCK = 65536  # bytes
_OWN = {"proxy-authorization", "proxy-connection", "connection", "keep-alive", "te", "trailer", "upgrade", "host"}
_ANSWER = {"connection", "keep-alive", "transfer-encoding"}
Place = tuple[str, int]


@dataclass(frozen=True)
class Lending:
    """A proxy that runs at the local `port`."""

    port: int
    password: str = field(repr=False)


def place_of(url: str) -> Place | None:
    """The host and the port that an http or https URL names."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return (parts.hostname, port) if parts.hostname and port else None


@contextmanager
def lent_proxy(places: Collection[Place], password: str, on_refusal: Callable[[str], None]) -> Iterator[Lending]:
    """A proxy to these places alone; `on_refusal` is told each other that is asked for, once."""
    told: set[str] = set()

    def refuse(place: str) -> None:
        if place not in told:
            told.add(place)
            on_refusal(place)

    attributes = {
        "places": frozenset(places),
        "secret": b64encode(f"{USER}:{password}".encode()).decode(),
        "refuse": staticmethod(refuse),
    }
    handler = type("Handler", (_Handler,), attributes)
    with _Server((HERE, 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield Lending(server.server_port, password)
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    """http.server's own way to be told things, which is to inherit."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing is said of a client that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    places: frozenset[Place] = frozenset()
    secret = ""
    refuse: Callable[[str], None]

    def log_message(self, *_: object) -> None:
        """What is fetched is nobody's business."""

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        place = (host.strip("[]").lower(), int(port)) if port.isdigit() else None
        if not self._may(place, self.path):
            return
        try:
            there = _dial(*place)  # type: ignore[misc]  # _may says no to None
        except (OSError, ConnectionError) as exc:
            self._answer(502, f"{self.path} does not answer: {exc}")
            return
        with there:
            self.send_response_only(200, "Connection established")
            self.end_headers()
            _relay(self.connection, there)
        self.close_connection = True

    def do_GET(self) -> None:
        place = place_of(self.path) if self.path.startswith("http://") else None
        if not self._may(place, self.path):
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        try:
            with requests.request(
                self.command,
                self.path,
                headers={"Accept-Encoding": None, **headers},  # nothing is asked for that was not
                stream=True,
                allow_redirects=False,  # where to, the machine asks anew, and may be refused
                timeout=CONNECT,
            ) as answer:
                self._pass_on(answer)
        except requests.RequestException as exc:
            self.close_connection = True
            with suppress(OSError):
                self._answer(502, f"{self.path} does not answer: {type(exc).__name__}")

    do_HEAD = do_GET  # noqa: N815  # http.server's name

    def _may(self, place: Place | None, asked: str) -> bool:
        """Whether the place is lent to who asks; if not, that is answered."""
        given = self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
        if not hmac.compare_digest(given.encode(), self.secret.encode()):
            self._answer(407, "This proxy is lent to another.", {"Proxy-Authenticate": 'Basic realm="lent"'})
            return False
        if place not in self.places:
            self.refuse(f"{place[0]}:{place[1]}" if place else asked)
            self._answer(403, f"{asked} is not lent.")
            return False
        return True

    def _answer(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        body = f"{words}\n".encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def _pass_on(self, answer: requests.Response) -> None:
        """As it came, packed or not; where no length is said, its end is the connection's."""
        self.send_response(answer.status_code, answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _ANSWER:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            for block in answer.raw.stream(BLOCK, decode_content=False):
                self.wfile.write(block)


def _dial(host: str, port: int) -> socket.socket:
    """A connection to the place, by way of this computer's own proxy if there is one for it."""
    url = f"https://{host}:{port}/"
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    if not proxy:
        return socket.create_connection((host, port), timeout=CONNECT)
    named = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    there = socket.create_connection((named.hostname or "", named.port or 80), timeout=CONNECT)
    user = f"{named.username}:{named.password or ''}" if named.username else ""
    auth = f"Proxy-Authorization: Basic {b64encode(user.encode()).decode()}\r\n" if user else ""
    there.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{auth}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < BLOCK and (more := there.recv(1)):
        head += more
    if head.split(b" ", 2)[1:2] != [b"200"]:
        there.close()
        raise ConnectionError(f"the proxy on the way says {head.splitlines()[:1]}")
    return there


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what comes from either, until one of them ends."""
    while ready := select.select([one, other], [], [], IDLE)[0]:
        for source in ready:
            try:
                block = source.recv(BLOCK)
                (other if source is one else one).sendall(block)
            except OSError:
                return
            if not block:
                return
