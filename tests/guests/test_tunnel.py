"""Ports into a machine: a real sshd, a real web server behind it, links that drop, and runs that are killed."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

import pytest
import requests

from provision.errors import CommandError
from provision.guests.access import Access
from provision.guests.ssh import ssh_command, ssh_config
from provision.guests.tunnel import Forward, Tunnel, free_port, hold_open, is_listening, new_tunnel, usual_port
from provision.paths import runtime_home

from .sshd import Sshd

PATIENCE = 30.0  # seconds after which a test gives up


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def says_hi(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=10).text == "hi"
    except requests.RequestException:
        return False


@contextmanager
def held(tunnel: Tunnel, answers: Callable[[], bool]) -> Iterator[tuple[SimpleQueue[str], list[str]]]:
    """The tunnel, held open in a thread: "up" for each time that it came to be of use, and what was said."""
    up: SimpleQueue[str] = SimpleQueue()
    said: list[str] = []
    stop = Event()

    def hold() -> None:
        on_up = lambda: up.put("up")  # noqa: E731
        hold_open(tunnel, answers=answers, on_up=on_up, say=said.append, deadline=PATIENCE, stop=stop)

    thread = Thread(target=hold)
    thread.start()
    try:
        yield up, said
    finally:
        stop.set()
        thread.join()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_link_that_drops_is_made_again_at_the_same_port(machine: Sshd, web: int) -> None:
    port = usual_port(machine.access())
    with new_tunnel(machine.access(), [Forward(port, web)]) as tunnel:
        with held(tunnel, lambda: says_hi(port)) as (up, said):
            assert up.get(timeout=PATIENCE) == "up"
            assert says_hi(port)
            machine.down = True
            machine.cut()
            until(lambda: len(said) >= 2)  # it is tried again while nobody answers
            assert not says_hi(port)
            machine.down = False
            assert up.get(timeout=PATIENCE) == "up"
            assert says_hi(port)
            assert "dropped" in said[0]
            assert "is down" in said[1]
        until(lambda: not is_listening(port))
        assert usual_port(machine.access()) == port
    assert list(runtime_home().iterdir()) == []


def test_pages_that_come_late_are_waited_for(machine: Sshd) -> None:
    late, port = free_port(), free_port()
    with new_tunnel(machine.access(), [Forward(port, late)]) as tunnel, held(tunnel, lambda: says_hi(port)) as (up, _):
        until(lambda: is_listening(port))
        assert up.empty()
        with ThreadingHTTPServer(("127.0.0.1", late), _Page) as server:
            Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            assert up.get(timeout=PATIENCE) == "up"
            server.shutdown()


def another_key(machine: Sshd) -> Access:
    key = machine.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return replace(machine.access(), key=key)


def another_machine(machine: Sshd) -> Access:
    """Its address, where somebody else was known before."""
    known = machine.folder / "known_hosts"
    known.write_text("stack-1 " + " ".join((machine.folder / "key.pub").read_text().split()[:2]) + "\n")
    return machine.access()


def nobody(machine: Sshd) -> Access:
    return replace(machine.access(), ssh_port=free_port())


@pytest.mark.parametrize(
    ("who", "deadline", "words", "hint"),
    [
        (another_key, PATIENCE, "Permission denied", "--handout"),
        (another_machine, PATIENCE, "Host key verification failed|IDENTIFICATION HAS CHANGED", "known_hosts"),
        (nobody, 0.5, "within 0 s|within 1 s", "provision diagnose"),
    ],
)
def test_what_is_hopeless_is_said(
    machine: Sshd, who: Callable[[Sshd], Access], deadline: float, words: str, hint: str
) -> None:
    port = free_port()
    with new_tunnel(who(machine), [Forward(port, 1)]) as tunnel, pytest.raises(CommandError, match=words) as raised:
        hold_open(
            tunnel,
            answers=lambda: is_listening(port),
            on_up=lambda: None,
            say=lambda _: None,
            deadline=deadline,
            stop=Event(),
        )
    assert raised.value.hint is not None
    assert hint in raised.value.hint


RUN = """
import sys
from tempfile import TemporaryDirectory
from threading import Event
from tests.guests.test_tunnel import Forward, Path, Sshd, hold_open, is_listening, new_tunnel
access, port = Sshd(Path(sys.argv[1]), int(sys.argv[2])).access(), int(sys.argv[3])
with new_tunnel(access, [Forward(port, int(sys.argv[4]))]) as tunnel:
    hold_open(tunnel, answers=lambda: is_listening(port), on_up=lambda: print("up", flush=True),
              say=print, deadline=60, stop=Event())
"""


def test_a_run_that_is_killed_leaves_nothing(machine: Sshd, web: int, tmp_path: Path) -> None:
    port, tunnels = free_port(), runtime_home()
    words = [sys.executable, "-c", RUN, str(tmp_path), str(machine.port), str(port), str(web)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "up\n"
        killed.send_signal(signal.SIGKILL)
    until(lambda: not is_listening(port))  # ssh ended with it
    assert list(tunnels.iterdir()) != []
    with new_tunnel(machine.access(), [Forward(port, web)]):  # the next run clears the rest away
        assert list(tunnels.iterdir()) == []


def test_a_wanted_port_is_had_unless_it_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_ssh_reads_its_config_as_we_call_it(machine: Sshd, tmp_path: Path) -> None:
    access = replace(machine.access(), key=tmp_path / "a key", known_hosts=tmp_path / "known hosts")
    (tmp_path / "a key").touch()
    (tmp_path / "config").write_text(ssh_config(access, "demo-26J-ada", jump="bastion.example.org"))
    called = ssh_command(access, options=["ProxyJump=bastion.example.org"])
    read = subprocess.run(
        ["ssh", "-G", "-F", tmp_path / "config", "demo-26J-ada"], capture_output=True, text=True, check=True
    )
    asked = subprocess.run([called[0], "-G", "-F", "none", *called[1:]], capture_output=True, text=True, check=True)
    for word in ("hostname", "port", "user", "hostkeyalias", "userknownhostsfile", "identityfile", "proxyjump"):
        (one,) = (line for line in read.stdout.splitlines() if line.startswith(f"{word} "))
        assert one in asked.stdout.splitlines()
