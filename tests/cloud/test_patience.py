"""What is sent again, how often, and when it ends: a server that fails as it is told, and a clock that jumps."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import pytest
import requests
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.connection import _http_session
from provision.cloud.patience import RUN, START, PatientAdapter, patient
from provision.cloud.stacks import observe_stacks
from provision.errors import AuthenticationError

from .conftest import HEAT, KEYSTONE, token

T = TypeVar("T")
Trouble = Callable[[socket.socket], None]


class Jumping:
    """A clock whose sleeps take no time."""

    def __init__(self) -> None:
        self.time = 1_795_800_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def take(self, queue: SimpleQueue[T], seconds: float | None = None) -> T | None:
        raise NotImplementedError

    def start(self, work: Callable[[], None]) -> None:
        raise NotImplementedError


def says(status: int, body: str = "{}", kind: str = "application/json", **headers: str) -> Trouble:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda client: client.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def hangs_up(_client: socket.socket) -> None:
    pass


def resets(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def breaks_off(client: socket.socket) -> None:
    client.sendall(b'HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"stacks": [')


GOOD = says(200, '{"stacks": [{"name": "a"}]}')


@contextmanager
def server(*answers: Trouble) -> Iterator[tuple[str, list[str]]]:
    """Answers each request with the next of `answers`, the last again and again; and what was asked."""
    seen: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                if request := client.recv(65536):
                    seen.append(request.split(b" HTTP")[0].decode())
                    answers[min(len(seen), len(answers)) - 1](client)

    Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


TROUBLES: dict[str, Trouble] = {
    **{str(status): says(status) for status in (429, 500, 502, 503, 504)},
    "no answer": hangs_up,
    "reset": resets,
    "body broken off": breaks_off,
    "JSON broken off under its own length": says(200, '{"stacks": [{"name": "a"}, {"na'),
    "JSON broken off at a brace": says(200, '{"stacks": [{"name": "a"}'),
    "a proxy's page": says(200, "<html>Please sign in</html>", "text/html"),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_a_read_is_sent_again(trouble: Trouble) -> None:
    with server(trouble, trouble, GOOD) as (url, seen):
        assert _http_session(Jumping()).get(f"{url}/stacks").json() == {"stacks": [{"name": "a"}]}
    assert seen == ["GET /stacks"] * 3


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_what_changes_something_is_sent_once(method: str, trouble: Trouble) -> None:
    with server(trouble, GOOD) as (url, seen), suppress(requests.RequestException):
        _http_session(Jumping()).request(method, f"{url}/stacks", json={})
    assert seen == [f"{method} /stacks"]


def test_signing_in_may_be_asked_twice() -> None:
    with server(says(503), GOOD) as (url, seen):
        assert _http_session(Jumping()).post(f"{url}/v3/auth/tokens", json={}).status_code == 200
    assert seen == ["POST /v3/auth/tokens"] * 2


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        (None, 0.25, 0.5),
        ("7", 7, 8),
        ("0", 0, 0),
        ("date:20", 19, 21),
        ("date:-20", 0, 0),
        ("86400", 120, 121),
        ("date:86400", 120, 121),
        ("soon", 0.25, 0.5),
    ],
)
def test_the_cloud_says_when_to_come_back(header: str | None, least: float, most: float) -> None:
    clock = Jumping()
    if header and header.startswith("date:"):
        header = formatdate(clock.now() + float(header.removeprefix("date:")), usegmt=True)
    with server(says(503, **({"Retry_After": header} if header else {})), GOOD) as (url, _):
        session = _http_session(clock)
        session.adapters["http://"].patience = RUN  # type: ignore[attr-defined]  # ours is an adapter of requests
        session.get(url)
    assert len(clock.slept) == 1
    assert least <= clock.slept[0] <= most


@pytest.mark.parametrize(("patience", "least"), [(START, 10), (RUN, 360)])
def test_patience_has_an_end_and_the_last_answer_is_given(patience: Any, least: float) -> None:
    clock = Jumping()
    session = _http_session(clock)
    session.adapters["http://"].patience = patience  # type: ignore[attr-defined]
    with server(says(503, "busy")) as (url, seen):
        assert session.get(url).status_code == 503
    assert least <= sum(clock.slept) <= patience.seconds
    assert len(seen) == len(clock.slept) + 1 <= 40
    assert max(clock.slept) <= 30


def test_an_address_where_nobody_listens_is_an_error_at_once_but_not_in_a_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    clock = Jumping()
    session = _http_session(clock)
    with pytest.raises(requests.ConnectionError):
        session.get(f"http://127.0.0.1:{port}")
    assert clock.slept == []
    session.adapters["http://"].patience = RUN  # type: ignore[attr-defined]
    with pytest.raises(requests.ConnectionError):
        session.get(f"http://127.0.0.1:{port}")
    assert sum(clock.slept) >= 360


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 X\r\nContent-Length: 9999\r\n\r\n"], ids=["headers", "body"])
def test_an_answer_that_comes_a_byte_at_a_time_ends(head: bytes, method: str) -> None:
    clock, sent = Jumping(), []

    def trickles(client: socket.socket) -> None:
        client.sendall(head)
        for _ in range(9000):
            clock.time += 1
            sent.append(1)
            try:
                client.sendall(b"H")
                client.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                return

    with server(trickles) as (url, seen), pytest.raises(requests.RequestException):
        _http_session(clock).request(method, url, timeout=60)
    assert seen == [f"{method} /"]  # the patience of a read was over with it
    assert len(sent) < 9000


@pytest.mark.parametrize("status", [401, 404])
def test_a_token_that_ended_is_replaced_once(cloud: Connection, http: rm.Mocker, status: int) -> None:
    lost = {"status_code": status, "json": {"error": {"message": "Failed to validate token"}}}
    http.post(f"{KEYSTONE}/auth/tokens", json=token(), headers={"X-Subject-Token": "t2"}, status_code=201)
    listing = http.get(f"{HEAT}/stacks", [lost, {"json": {"stacks": []}}])
    assert observe_stacks(cloud, "a=b") == ()
    assert [call.headers["X-Auth-Token"] for call in listing.request_history] == ["t1", "t2"]


def test_a_credential_that_is_refused_for_good_is_said(cloud: Connection, http: rm.Mocker) -> None:
    http.get(f"{HEAT}/stacks", status_code=401)
    http.post(f"{KEYSTONE}/auth/tokens", status_code=401)
    with pytest.raises(AuthenticationError, match="The credential is not accepted"):
        observe_stacks(cloud, "a=b")


def test_in_a_run_the_cloud_is_given_more_time(cloud: Connection) -> None:
    adapter = cloud.session.session.adapters["https://"]
    assert isinstance(adapter, PatientAdapter)
    assert adapter.patience == START
    with patient(cloud):
        during = adapter.patience
    assert (during, adapter.patience) == (RUN, START)
