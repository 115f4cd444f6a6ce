"""How calls reach a cloud that is busy, slow or breaks off: reads are sent again, and every answer has its deadline."""

import http.client
import io
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from socket import SocketIO, socket
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, InvalidJSONError, SSLError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from provision.clock import Clock
from provision.core.retries import AGAIN, is_repeatable, is_whole, pause, retry_after

if TYPE_CHECKING:
    from openstack.connection import Connection

log = logging.getLogger(__name__)

POOL = 64  # connections kept open: one for each thread of a launch
STRETCH = 3  # how many times the longest silence (api_timeout) a whole answer may take


@dataclass(frozen=True)
class Patience:
    """For how many seconds a read is sent again, and whether also when nothing listens at the address."""

    seconds: float
    absent: bool


START = Patience(30.0, absent=False)  # somebody waits for the first words, and a wrong address stays wrong
RUN = Patience(420.0, absent=True)  # a controller that lost its network was out for 358 s


@contextmanager
def patient(connection: "Connection") -> Iterator[None]:
    """Inside, the cloud is given time to come back: a run of an hour does not end for a minute's trouble."""
    adapters = [each for each in connection.session.session.adapters.values() if isinstance(each, PatientAdapter)]
    for adapter in adapters:
        adapter.patience = RUN
    try:
        yield
    finally:
        for adapter in adapters:
            adapter.patience = START


class BrokenAnswerError(InvalidJSONError):
    """A 200 whose body is a page of something in between, or breaks off."""


class PatientAdapter(HTTPAdapter):
    """Sends what only reads again, when that may help. What changes something is sent once, whatever comes of it."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.patience = clock, START
        super().__init__(pool_maxsize=POOL)

    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        """requests' own way to choose the connections."""
        super().init_poolmanager(*sizes, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self.clock)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The same behind a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _pools(self.clock)
        return manager

    def send(self, request: requests.PreparedRequest, stream: bool = False, *rest: Any, **more: Any) -> Any:
        """The answer; a read's only when it is none of those that may be better next time, or patience is over."""
        again = is_repeatable(request.method or "", (request.url or "").partition("?")[0])
        end, tries = self.clock.now() + self.patience.seconds, 0
        while True:
            tries += 1
            answer: requests.Response | requests.RequestException
            try:
                answer = super().send(request, stream, *rest, **more)
                wrong = _wrong(answer, whole=again and not stream)
            except requests.RequestException as exc:
                answer, wrong = exc, self._hopeful(exc)
            asked_for = self._asked_for(answer)
            wait = pause(tries, asked_for, random.random())  # noqa: S311  # spreads calls, hides nothing
            if not (again and wrong) or self.clock.now() + wait > end:
                return _given(answer, asked_for)
            log.debug("%s %s: %s; again in %.1f s", request.method, request.url, wrong, wait)
            self.clock.sleep(wait)

    def _hopeful(self, exc: requests.RequestException) -> str:
        """Why no answer came, if it may come the next time."""
        absent = isinstance(getattr(exc.args[0] if exc.args else None, "reason", None), NewConnectionError)
        lasting = isinstance(exc, SSLError) or (absent and not self.patience.absent)
        broken = ChunkedEncodingError | BrokenAnswerError
        passing = isinstance(exc, requests.ConnectionError | requests.Timeout | broken)
        return str(exc) if passing and not lasting else ""

    def _asked_for(self, answer: requests.Response | requests.RequestException) -> float | None:
        headers = answer.headers if isinstance(answer, requests.Response) else {}
        return retry_after(headers.get("Retry-After"), self.clock.now())


def _wrong(answer: requests.Response, *, whole: bool) -> str:
    """What is wrong with an answer that may be right the next time. Reads its body, if it has to be whole."""
    if answer.status_code in AGAIN:
        return f"HTTP {answer.status_code}"
    if whole and answer.status_code == 200 and not is_whole(answer.headers.get("Content-Type", ""), answer.content):
        raise BrokenAnswerError(f"The answer of {answer.url} is not whole, or not what the cloud says.")
    return ""


def _given(answer: requests.Response | requests.RequestException, asked_for: float | None) -> requests.Response:
    """The answer, or the error raised. A Retry-After is in seconds from here on: who reads it knows no clock."""
    if isinstance(answer, requests.RequestException):
        raise answer
    if asked_for is not None:
        answer.headers["Retry-After"] = str(ceil(asked_for))
    return answer


# A timeout of requests is for each byte: who sends one a minute would hold a thread for ever. So each read of a socket
# is given what is left of the whole answer's time, headers included.


class _Bounded(io.RawIOBase):
    """What comes out of a socket until `end`."""

    def __init__(self, raw: SocketIO, sock: socket, clock: Clock) -> None:
        self._raw, self._sock, self._clock = raw, sock, clock
        self._silence = sock.gettimeout()
        self._end = None if self._silence is None else clock.now() + STRETCH * self._silence

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None and self._silence is not None:
            left = self._end - self._clock.now()
            if left <= 0:
                raise TimeoutError("the answer takes too long")
            self._sock.settimeout(min(left, self._silence))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _pools(clock: Clock) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's own way to choose the class of an answer: by the class of the connection, by that of the pool."""

    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: socket, *rest: Any, **more: Any) -> None:
            super().__init__(sock, *rest, **more)
            self.fp.close()
            raw = sock.makefile("rb", buffering=0)
            self.fp = io.BufferedReader(_Bounded(raw, sock, clock))

    def connection(kind: type[HTTPConnection]) -> type[HTTPConnection]:
        return type(kind.__name__, (kind,), {"response_class": Answer})

    kinds = {"http": (HTTPConnectionPool, HTTPConnection), "https": (HTTPSConnectionPool, HTTPSConnection)}
    return {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": connection(kind)})
        for scheme, (pool, kind) in kinds.items()
    }
