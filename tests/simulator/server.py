"""The simulated cloud on a socket of the loopback network."""

import re
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from provision.clock import REAL, Clock

from . import glance, heat, keystone, others
from .faults import Delay, Drop, Hang, RetryDate, Say, Setup, Trickle, Trouble, Truncate
from .state import PROJECT, Cloud
from .wire import HTML, Answer, Request, refusal

_SERVICES: Mapping[str, Callable[[Cloud, Request], Answer]] = {
    "heat": heat.answer,
    "identity": keystone.answer,
    "glance": glance.answer,
    "nova": others.compute,
    "neutron": others.network,
}
CLOUDS = """
clouds:
  campus:
    auth: {{auth_url: '{url}/identity/v3', username: faculty, password: secret, project_name: faculty,
           user_domain_name: Default, project_domain_name: Default}}
    region_name: one
    api_timeout: {timeout}
"""


class Call(NamedTuple):
    """A call that was made: when it came (seconds since the beginning), what it was, and how it was answered."""

    time: float
    what: str
    status: int  # 0: it was not


@dataclass(eq=False)
class Simulator:
    """A running one: what it holds, and what it was asked."""

    cloud: Cloud
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    met: Counter[int] = field(default_factory=Counter)  # by the place in the setup's faults
    seen: Counter[int] = field(default_factory=Counter)
    creating: deque[float] = field(default_factory=deque)

    @property
    def clock(self) -> Clock:
        return self.cloud.clock

    @property
    def setup(self) -> Setup:
        return self.cloud.setup

    def clouds_yaml(self, timeout: float = 60) -> str:
        """A clouds.yaml whose cloud `campus` this is; `timeout` in real seconds."""
        return CLOUDS.format(url=self.url, timeout=timeout)

    def meet(self, setup: Setup) -> None:
        """From now on the cloud is as `setup` says; its times, and all counts of calls, begin now."""
        with self.cloud.lock:
            self.cloud.advance()
            self.cloud.begin(setup)
            self.met.clear()
            self.seen.clear()
            self.calls.clear()

    def count(self, pattern: str) -> int:
        """How many calls there were whose "METHOD /service/path" matches."""
        return sum(bool(re.search(pattern, call.what)) for call in self.calls)


def _key(request: Request) -> str:
    name = f" {request.body.get('stack_name', '')}" if request.method == "POST" and request.service == "heat" else ""
    return f"{request.method} {request.target}{name}"


def _trouble(simulator: Simulator, key: str) -> Trouble | None:
    """What the first fault that this call meets does to it."""
    cloud = simulator.cloud
    age = simulator.clock.now() - cloud.began
    for place, fault in enumerate(simulator.setup.faults):
        if not (fault.begin <= age < fault.end and re.search(fault.calls, key)):
            continue
        simulator.seen[place] += 1
        if simulator.seen[place] <= fault.skip or simulator.met[place] >= fault.times:
            continue
        if fault.share >= 1 or cloud.dice.random() < fault.share:
            simulator.met[place] += 1
            return fault.trouble
    return None


def _latency(simulator: Simulator, key: str) -> float:
    latency, dice = simulator.setup.latency, simulator.cloud.dice
    usual = latency.write if key.startswith("POST /heat") else latency.read
    factor = dice.lognormvariate(0, latency.spread) if latency.spread else 1
    return usual * factor + (latency.tail if latency.tail_share and dice.random() < latency.tail_share else 0)


def _strain(simulator: Simulator) -> tuple[float, bool]:
    """How much longer a new stack takes now, and whether it is more than the cloud bears. It counts from now on."""
    capacity, now, times = simulator.setup.capacity, simulator.clock.now(), simulator.creating
    if capacity is None:
        return 0, False
    times.append(now)
    while times[0] <= now - capacity.window:
        times.popleft()
    rate = len(times) / capacity.window
    over = (rate - capacity.knee) / (capacity.collapse - capacity.knee)
    return capacity.strain * min(max(over, 0), 1), over >= 1


def _act(cloud: Cloud, request: Request) -> Answer:
    cloud.advance()
    if request.service == "machines":
        serving = cloud.serves(request.path.split("/")[1])
        return Answer({"yes": 200, "whose?": 403}.get(serving, 502), {"ready": serving})
    service = _SERVICES.get(request.service)
    if service is None:
        return refusal("", 404, "There is no such service.")
    if _needs_token(request) and cloud.tokens.get(request.headers.get("X-Auth-Token", ""), 0) <= cloud.clock.now():
        return refusal(request.service, 401, "The request you have made requires authentication.", "unauthorized")
    cloud.acting = cloud.scopes.get(request.headers.get("X-Auth-Token", ""), PROJECT)
    return service(cloud, request)


def _needs_token(request: Request) -> bool:
    return request.service != "identity" and request.path.strip("/") not in ("", "v2.1", "v2.0", "v2")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    simulator: Simulator

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, dict(self.headers), content, self.simulator.url)
        simulator, cloud, key = self.simulator, self.simulator.cloud, _key(request)
        came = simulator.clock.now() - cloud.began
        with cloud.lock:
            cloud.advance()
            cloud.happen(key)
            trouble, seconds = _trouble(simulator, key), _latency(simulator, key)
            creates = request.method == "POST" and request.path.endswith("/stacks")
            longer, too_many = _strain(simulator) if creates else (0.0, False)
            answer = heat.check(cloud, request) if request.service == "heat" else None
        simulator.clock.sleep(seconds + longer)
        if too_many:
            answer = refusal("", 503, "No server is available to handle this request.")
        self._call = (came, key)
        self._meet(request, trouble, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815  # http.server's names

    def _meet(self, request: Request, trouble: Trouble | None, answer: Answer | None) -> None:
        """Do what is asked and answer it, as far as the trouble lets us."""
        clock = self.simulator.clock
        if isinstance(trouble, Delay | Hang):
            clock.sleep(trouble.seconds)
        if isinstance(trouble, Say | Drop | Hang) and not trouble.acted:
            answer = None
        elif not isinstance(trouble, RetryDate):
            with self.simulator.cloud.lock:
                answer = answer or _act(self.simulator.cloud, request)
        match trouble:
            case Say(status=status, body=None):
                return self._say(_no(request, status, trouble.headers))
            case Say(status=status, body=body):
                return self._say(Answer(status, body, {**HTML, **trouble.headers}))
            case RetryDate(seconds=seconds, status=status):
                date = formatdate(clock.now() + seconds, usegmt=True)
                return self._say(_no(request, status, {"Retry-After": date}))
            case Drop(reset=reset):
                return self._drop(reset=reset)
            case Hang():
                return self._hang()
        assert answer is not None
        self._say(answer, trouble)
        return None

    def _say(self, answer: Answer, trouble: Trouble | None = None) -> None:
        content = answer.content
        head = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}"]
        about = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in {**({} if answer.status == 204 else about), **answer.headers}.items():
            head.append(f"{name}: {value}")
        message = "\r\n".join([*head, "", ""]).encode() + content
        self._answered(answer.status)
        if isinstance(trouble, Truncate):
            message = message[: len(message) - len(content) + int(len(content) * trouble.share)]
            self.close_connection = True
        if isinstance(trouble, Trickle):
            for byte in message:
                # Before each byte: after the last one the client goes on, and its time is no longer ours to pass.
                self.simulator.clock.sleep(trouble.seconds)
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        else:
            self.wfile.write(message)

    def _answered(self, status: int) -> None:
        # Before it is sent: then whoever has an answer finds the call that it answers.
        self.simulator.calls.append(Call(*self._call, status))

    def _drop(self, *, reset: bool) -> None:
        self._answered(0)
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _hang(self) -> None:
        self.connection.recv(1)  # the client closes
        self._drop(reset=False)


def _no(request: Request, status: int, headers: Mapping[str, str]) -> Answer:
    """What stands before a service says it in HTML, the service itself in its own form."""
    service = "" if status in (502, 503, 504) else request.service
    words = {429: "Too many requests.", 500: "An unexpected error has occurred.", 503: "Service unavailable."}
    return refusal(service, status, words.get(status, "It is not to be."), "error", **headers)


@contextmanager
def simulator_on_a_socket(setup: Setup, clock: Clock = REAL, port: int = 0) -> Iterator[Simulator]:
    """A simulator that answers at `url` while the context lasts."""
    simulator = Simulator(Cloud(setup, clock))
    handler = type("Handler", (_Handler,), {"simulator": simulator})
    server_type = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 256, "daemon_threads": True})
    with server_type(("127.0.0.1", port), handler) as server:
        simulator.url = f"http://127.0.0.1:{server.server_port}"
        server.handle_error = lambda *_: None  # a client that hung up is what is being tested
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield simulator
        finally:
            server.shutdown()
