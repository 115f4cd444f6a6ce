"""A machine's pages at this computer: straight or through ssh, waited for, and back after a link that dropped."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Event, Thread

import pytest
import requests

from provision.errors import NotReadyError
from provision.guests.access import Access
from provision.guests.lent import Lent, Sources
from provision.guests.tunnel import Forward, free_port
from provision.workflows.reaching import hold_pages, hold_ports, is_public

from .sshd import Sshd

PATIENCE = 30.0


class _Machine(BaseHTTPRequestHandler):
    refusals = 0

    def do_GET(self) -> None:
        self.send_response(503 if type(self).refusals > 0 else 200)
        type(self).refusals -= 1
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The machine's pages, at a port that takes the place of 80."""
    _Machine.refusals = 0
    monkeypatch.setattr("provision.workflows.reaching.PAUSE", 0.05)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Machine) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr("provision.workflows.reaching.WEB", server.server_port)
        yield server.server_port
        server.shutdown()


def closed(machine: Sshd) -> Access:
    """The machine with its pages out of reach."""
    return replace(machine.access(), web_port=free_port())


def test_the_way_is_found(machine: Sshd, web: int) -> None:
    _Machine.refusals = 2  # it boots
    assert is_public(replace(machine.access(), web_port=web), PATIENCE)
    assert not is_public(closed(machine), PATIENCE)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(NotReadyError, match="Neither the pages nor the SSH") as raised:
            is_public(replace(closed(machine), ssh_port=nobody.getsockname()[1]), 0.1)
    assert "provision diagnose" in (raised.value.hint or "")


def in_a_thread(work: Callable[[], None]) -> Thread:
    thread = Thread(target=work)
    thread.start()
    return thread


def test_pages_are_told_once_they_serve_and_once(machine: Sshd, web: int) -> None:
    _Machine.refusals = 2
    urls: SimpleQueue[str] = SimpleQueue()
    said: SimpleQueue[str] = SimpleQueue()
    stop, access = Event(), closed(machine)
    thread = in_a_thread(
        lambda: hold_pages(access, jump=None, on_up=urls.put, say=said.put, deadline=PATIENCE, stop=stop)
    )
    try:
        url = urls.get(timeout=PATIENCE)
        assert requests.get(url + "healthz", timeout=PATIENCE).ok
        machine.cut()
        assert "dropped" in said.get(timeout=PATIENCE)
        assert said.get(timeout=PATIENCE) == "The link is back."
        assert requests.get(url + "healthz", timeout=PATIENCE).ok
        assert urls.empty()
    finally:
        stop.set()
        thread.join()


def test_ports_and_packages_come_back_with_the_link(machine: Sshd, web: int) -> None:
    ups: SimpleQueue[Lent | None] = SimpleQueue()
    stop, forward = Event(), Forward(free_port(), web)
    sources = Sources(frozenset({("127.0.0.1", web)}), {})
    thread = in_a_thread(
        lambda: hold_ports(
            machine.access(),
            [forward],
            jump=None,
            sources=sources,
            on_up=ups.put,
            say=lambda _: None,
            deadline=PATIENCE,
            stop=stop,
        )
    )
    environment = machine.folder / "run" / "provision-lent" / "env"
    try:
        seen = []
        for _ in range(2):
            lent = ups.get(timeout=PATIENCE)
            assert lent is not None
            assert lent.environment == str(environment)
            assert requests.get(f"http://127.0.0.1:{forward.port}/healthz", timeout=PATIENCE).ok
            seen.append(environment.read_text())
            machine.cut()
        assert seen[0] != seen[1], "the port and the run are new"
    finally:
        stop.set()
        thread.join()
