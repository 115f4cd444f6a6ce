"""Package access that is lent: who gets through the proxy and where to, what a machine has of it, and how long."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
import requests

from provision.guests.lent import Lent, Sources, find_sources, lend
from provision.guests.lent_proxy import Place, lent_proxy
from provision.guests.ssh import ssh_command
from provision.guests.tunnel import hold_open, new_tunnel
from provision.paths import runtime_home
from provision.process import run

from .sshd import Sshd, sshd

WHEEL = b"wheel" * 20_000


class _Archive(BaseHTTPRequestHandler):
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers))
        self.send_response(302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", "http://elsewhere.example/")
        if self.path == "/simple/pip/":
            body = b"<a href='http://files.example:8080/pip.whl#sha256=0'>pip</a><a href='../x.whl'>x</a>"
        else:
            body = WHEEL
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    _Archive.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Archive) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with sshd(tmp_path) as running, TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield running


def fetch(port: int, url: str, word: str = "secret") -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    proxy = f"http://lent:{word}@127.0.0.1:{port}"
    return session.get(url, proxies={"http": proxy, "https": proxy}, timeout=30, allow_redirects=False)


def connect(port: int, place: str, word: str = "bGVudDpzZWNyZXQ=") -> bytes:
    """What a CONNECT is answered, and what comes back through it if it is let through."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as proxy:
        proxy.sendall(f"CONNECT {place} HTTP/1.1\r\nProxy-Authorization: Basic {word}\r\n\r\n".encode())
        head = proxy.recv(4096)
        if b" 200 " in head:
            proxy.sendall(b"GET /x HTTP/1.0\r\n\r\n")
            while block := proxy.recv(65536):
                head += block
        return head


def test_only_what_is_lent_is_reached(archive: int) -> None:
    refused: list[str] = []
    place: Place = ("127.0.0.1", archive)
    with lent_proxy([place], "secret", refused.append) as lending:
        here = f"http://127.0.0.1:{archive}"
        for path in ("/x", "/endless"):
            assert fetch(lending.port, here + path).content == WHEEL
        assert not any(name.lower().startswith("proxy-") for seen in _Archive.seen for name in seen)
        moved = fetch(lending.port, f"{here}/moved")
        assert (moved.status_code, moved.headers["Location"]) == (302, "http://elsewhere.example/")
        assert connect(lending.port, f"127.0.0.1:{archive}").endswith(WHEEL)
        count = len(_Archive.seen)
        for url in ("http://elsewhere.example/", f"http://localhost:{archive}/x", "http://127.0.0.1:1/"):
            assert fetch(lending.port, url).status_code == 403
        assert b" 403 " in connect(lending.port, f"localhost:{archive}")
        assert b" 403 " in connect(lending.port, "nonsense")
        for word in ("", "wrong"):
            assert fetch(lending.port, f"{here}/x", word).status_code == 407
            assert b" 407 " in connect(lending.port, f"127.0.0.1:{archive}", word)
        assert len(_Archive.seen) == count
    assert refused == ["elsewhere.example:80", f"localhost:{archive}", "127.0.0.1:1", "nonsense"]


OUTER = """
import sys
from provision.guests.lent_proxy import lent_proxy
with lent_proxy([("127.0.0.1", int(sys.argv[1]))], "outer", lambda _: None) as lending:
    print(lending.port, flush=True)
    sys.stdin.read()
"""


def test_it_goes_out_as_this_computer_does(archive: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-c", OUTER, str(archive)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outer:
        assert outer.stdout is not None
        proxy = f"http://lent:outer@127.0.0.1:{int(outer.stdout.readline())}"
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("no_proxy", "")
        with lent_proxy([("127.0.0.1", archive), ("far.example", 443)], "secret", lambda _: None) as inner:
            assert fetch(inner.port, f"http://127.0.0.1:{archive}/x").content == WHEEL
            assert connect(inner.port, f"127.0.0.1:{archive}").endswith(WHEEL)
            assert b" 502 " in connect(inner.port, "far.example:443")  # which the outer one does not lend
        outer.communicate()


def test_this_computers_own_settings_say_where_to(archive: int, monkeypatch: pytest.MonkeyPatch) -> None:
    index = f"http://127.0.0.1:{archive}/simple"
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://u:secret@private.example/simple file:///srv/packages")
    monkeypatch.delenv("PIP_TRUSTED_HOST", raising=False)
    found = find_sources(["mirror.example", "cache.example:3142"])
    assert found.pip == {"PIP_INDEX_URL": index}
    wanted = {("127.0.0.1", archive), ("files.example", 8080), ("mirror.example", 443), ("cache.example", 3142)}
    assert wanted <= found.places
    assert not {host for host, _ in found.places} & {"private.example", "", "srv"}


def remote(machine: Sshd, command: str) -> str:
    done = run(ssh_command(machine.access(), command, options=["BatchMode=yes"]), deadline=60, check=False)
    return done.stdout + done.stderr


def left(machine: Sshd) -> list[Path]:
    """What the machine has of it, its folders aside."""
    return [path for place in ("home", "run", "apt") for path in (machine.folder / place).rglob("*") if path.is_file()]


def until_nothing_is_left(machine: Sshd, but: Path | None = None) -> None:
    end = time.monotonic() + 30
    while set(left(machine)) - {but}:
        assert time.monotonic() < end, left(machine)
        time.sleep(0.05)


def lend_to(machine: Sshd, archive: int, test: Callable[[Lent], None] | None = None, ready: str = "") -> None:
    """Lend `archive` to the machine, and do `test` meanwhile."""
    stop = Event()
    places: list[Place] = [("127.0.0.1", archive)]
    with lent_proxy(places, "secret", lambda _: None) as lending, new_tunnel(machine.access(), []) as tunnel:

        def on_up() -> None:
            sources = Sources(frozenset(places), {"PIP_INDEX_URL": f"http://127.0.0.1:{archive}/simple"})
            with lend(tunnel, lending, sources) as state:
                lent = state()
                assert lent is not None
                sys.stdout.write(ready)
                sys.stdout.flush()
                if test:
                    test(lent)
                else:
                    time.sleep(60)
            stop.set()

        hold_open(tunnel, answers=lambda: True, on_up=on_up, say=lambda _: None, deadline=30, stop=stop)


def test_a_machine_has_it_while_the_command_runs(machine: Sshd, archive: int) -> None:
    get = f"import os, urllib.request as u; print(len(u.urlopen('http://127.0.0.1:{archive}/x', timeout=20).read()))"

    def use(lent: Lent) -> None:
        assert lent.what[0] == "pip"
        if os.geteuid() == 0:
            config = machine.folder / "apt/zz-provision-lent"
            dumped = subprocess.run(["apt-config", "-c", config, "dump"], capture_output=True, text=True, check=True)
            assert 'Acquire::http::Proxy "http://lent:secret@127.0.0.1:' in dumped.stdout
        said = remote(machine, f'. {lent.environment}; no_proxy= {sys.executable} -c "{get}"')
        assert said == f"{len(WHEEL)}\n"
        offline = machine.folder / "xdg" / "pip" / "pip.conf"  # a course's that installs without an index
        offline.parent.mkdir(parents=True)
        offline.write_text("[global]\nno-index = true\n")
        settings = remote(machine, f"XDG_CONFIG_DIRS={machine.folder}/xdg {sys.executable} -m pip config list")
        assert "global.proxy='http://lent:secret@127.0.0.1:" in settings
        assert "global.no-index='false'" in settings
        assert f"global.index-url='http://127.0.0.1:{archive}/simple'" in settings
        assert all(not path.stat().st_mode & 0o077 for path in left(machine) if path.parent.name != "apt")

    lend_to(machine, archive, use)
    assert _Archive.seen
    assert "Proxy-Authorization" not in str(_Archive.seen)
    until_nothing_is_left(machine)


def test_what_is_the_students_own_stays(machine: Sshd, archive: int) -> None:
    own = machine.folder / "home" / ".pip" / "pip.conf"
    own.parent.mkdir()
    own.write_text("[global]\ntimeout = 99\n")

    def use(lent: Lent) -> None:
        assert "pip" not in lent.what
        assert "timeout" in own.read_text()

    lend_to(machine, archive, use)
    until_nothing_is_left(machine, but=own)
    assert own.read_text() == "[global]\ntimeout = 99\n"


RUN = """
import sys
from tests.guests.test_lent import Path, Sshd, lend_to
lend_to(Sshd(Path(sys.argv[1]), int(sys.argv[2])), int(sys.argv[3]), ready="lent" + chr(10))
"""


def begin(machine: Sshd, archive: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", RUN, str(machine.folder), str(machine.port), str(archive)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_a_run_that_is_killed_leaves_nothing_there(machine: Sshd, archive: int) -> None:
    with begin(machine, archive) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "lent\n"
        assert left(machine)
        killed.kill()
    until_nothing_is_left(machine)
    assert list(runtime_home().iterdir()) != []
    with new_tunnel(machine.access(), []):  # the next run clears away what is left here
        assert list(runtime_home().iterdir()) == []


def test_what_a_machine_that_died_kept_the_next_run_takes_away(machine: Sshd, archive: int) -> None:
    stale = machine.folder / "run" / "provision-lent"
    stale.mkdir()
    (stale / "env").write_text("# lent by provision, run 00000000\nexport http_proxy=http://127.0.0.1:1\n")
    pip = machine.folder / "home" / ".pip" / "pip.conf"
    pip.parent.mkdir()
    pip.write_text("# lent by provision, run 00000000\n[global]\nproxy = http://127.0.0.1:1\n")
    fresh: list[bool] = []
    lend_to(machine, archive, lambda _: fresh.append("00000000" not in pip.read_text()))
    until_nothing_is_left(machine)
    assert fresh == [True]
