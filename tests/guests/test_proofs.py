"""The tables of proofs, and what is proved of a machine that is nobody's, against a web server that plays one."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.guests.access import Access
from provision.guests.emulator import Machine
from provision.guests.jupyter import Jupyter
from provision.guests.probes import NotYetError
from provision.guests.proofs import (
    Expected,
    Proof,
    Subject,
    first_proofs,
    notebook_proofs,
    other_proofs,
    rebooted_proofs,
    unclaimed_proofs,
)

BARE = Expected("oustudent", ("notebooks",))
FULL = Expected("oustudent", ("notebooks",), (("openrefine", 3334), ("docs", 8000)), ("tm351",), ("pandas",), True)


def names(proofs: "Sequence[Proof] | Iterator[Proof]") -> list[str]:
    return [proof.name for proof in proofs]


def test_what_a_course_has_is_proved_and_nothing_else() -> None:
    assert names(notebook_proofs(BARE)) == ["kernel"]
    assert names(other_proofs(BARE)) == ["ports", "ssh", "safety", "no sudo", "terminal"]
    assert names(notebook_proofs(FULL)) == ["kernel", "PostgreSQL", "offline pip install"]
    assert names(other_proofs(FULL))[5:] == ["/openrefine/", "/proxy/3334/", "/docs/", "/proxy/8000/", "/data/"]


@pytest.mark.parametrize(
    "lanes", [[*first_proofs(), *notebook_proofs(FULL)], [*first_proofs(), *other_proofs(FULL)], [*unclaimed_proofs()]]
)
def test_a_proof_needs_what_was_tried_before_it(lanes: list[Proof]) -> None:
    for number, proof in enumerate(lanes):
        assert not proof.needs or proof.needs in names(lanes[:number])
        assert proof.meaning
        assert proof.hint


def test_after_the_reset_nothing_is_proved_that_was_not_reset() -> None:
    reset, *others = rebooted_proofs()
    assert (reset.name, reset.needs) == ("reset", "login")
    assert [proof.needs for proof in others] == ["reset", "network", "web"]


@contextmanager
def page(status: int, body: str, *, post: int = 503, drops: int = 0) -> Iterator[str]:
    """A server whose pages are all the same; the first `drops` POSTs end without a word."""
    drop = iter(range(drops))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(post if self.command == "POST" else status)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            if next(drop, None) is None:
                self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def subject(url: str, folder: Path) -> Subject:
    port = int(url.rstrip("/").rpartition(":")[2])
    access = Access("127.0.0.1", "oustudent", "x", folder / "key", "a", folder / "known_hosts", web_port=port)
    return Subject(Machine(folder, {}, lambda: None), access, BARE, Jupyter(url), time.monotonic())


def proof(name: str) -> Proof:
    return next(each for each in unclaimed_proofs() if each.name == name)


SSH = """#!/bin/sh
case "$*" in
*"@127.0.0.1 sudo -n true") code={} ;;
*"@127.0.0.1 sudo -n -l") code={}; echo '    (root) NOPASSWD: /usr/bin/apt' ;;
esac
test $code != 255 || echo "Connection refused" >&2
exit $code
"""
NOBODYS = "<h1>This machine has no student yet</h1>"


def test_a_machine_without_a_student_says_so_and_is_locked(tmp_path: Path) -> None:
    with page(503, NOBODYS) as url:
        proof("page").prove(subject(url, tmp_path))
        proof("locked").prove(subject(url, tmp_path))


@pytest.mark.parametrize(
    ("name", "status", "body", "post", "words"),
    [
        ("page", 200, NOBODYS, 503, "answered 200"),
        ("page", 503, "It is still starting", 503, "without the words 'no student'"),
        ("locked", 200, NOBODYS, 503, "/healthz answered 200"),
        ("locked", 503, NOBODYS, 302, "POST /login answered 302"),
    ],
)
def test_a_machine_that_is_not_locked_is_found(
    tmp_path: Path, name: str, status: int, body: str, post: int, words: str
) -> None:
    with page(status, body, post=post) as url, pytest.raises(NotYetError, match=words):
        proof(name).prove(subject(url, tmp_path))


@pytest.mark.parametrize(("post", "words"), [(503, None), (302, "POST /login answered 302")])
def test_a_connection_that_is_dropped_is_no_way_in(tmp_path: Path, post: int, words: str | None) -> None:
    with page(503, NOBODYS, post=post, drops=1) as url:
        patient = replace(subject(url, tmp_path), end=time.monotonic() + 30)
        with pytest.raises(NotYetError, match=words) if words else nullcontext():
            proof("locked").prove(patient)


def test_a_machine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotYetError, match="GET /healthz failed"):
        proof("network").prove(subject("http://127.0.0.1:9/", tmp_path))


# How the guest's sudo ends, first when it is to do something, then when it is to list the student's rules.
@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ((1, 1), None),
        ((127, 127), None),
        ((0, 0), "sudo -n true asks oustudent for no password"),
        ((1, 0), r"sudo -n -l asks oustudent for no password: \(root\) NOPASSWD: /usr/bin/apt$"),
        ((255, 255), "Connection refused"),
        ((1, 255), "Connection refused"),
    ],
)
def test_a_student_who_can_become_root_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int], words: str | None
) -> None:
    program = tmp_path / "ssh"
    program.write_text(SSH.format(*codes))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tried,) = [each for each in other_proofs(BARE) if each.name == "no sudo"]
    if words is None:
        tried.prove(subject("http://127.0.0.1:9/", tmp_path))
    else:
        with pytest.raises(NotYetError, match=words):
            tried.prove(subject("http://127.0.0.1:9/", tmp_path))


@pytest.mark.parametrize(
    ("found", "tls", "words"),
    [
        ({22, 80}, False, None),
        ({22, 80, 443}, True, None),
        ({22, 443}, True, None),
        ({22, 80, 5355, 8888}, False, "open, too: 5355, 8888"),
        ({22, 80, 443}, False, "open, too: 443"),
        ({80}, False, "closed: 22"),
        ({22, 80}, True, "closed: 443"),
    ],
)
def test_open_ports(tmp_path: Path, found: set[int], tls: bool, words: str | None) -> None:
    from tests.guests.test_wire import Guest, plugged

    tried = subject("http://127.0.0.1:9/", tmp_path)
    tried = replace(tried, expected=replace(BARE, tls=tls))
    with plugged(tmp_path, Guest(found, set())):
        if words is None:
            proof("ports").prove(tried)
        else:
            with pytest.raises(NotYetError, match=words):
                proof("ports").prove(tried)
