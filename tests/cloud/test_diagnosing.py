"""What is found out about a machine that does not serve: from its cloud, from outside and from inside."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.guests.access import Access
from provision.progress import Silent
from provision.workflows.diagnosing import Outside, ask_caretaker, examine, look

from .conftest import NOVA
from .test_launch import order
from .test_repair import Cloud


def console(http: rm.Mocker, text: str) -> None:
    http.post(
        f"{NOVA}/servers/s-ada/action",
        json={"output": text},
        additional_matcher=lambda request: "os-getConsoleOutput" in request.text,
    )


def causes(cloud: Connection, folder: Path) -> list[str]:
    found, _ = examine(cloud, order("ada", "bob"), "ada", folder, Silent())
    return [cause.kind for cause in found.causes]


def test_a_rule_that_is_gone_is_named_before_what_follows(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    there = Cloud(http, tmp_path, "ada", "bob")
    console(http, "Out of memory: Killed process 8 (python3)\nada login: ")
    assert causes(cloud, tmp_path) == ["out of memory"]
    rules = there.groups["bob"]["security_group_rules"]
    rules[:] = [rule for rule in rules if rule.get("port_range_min") != 80]
    assert causes(cloud, tmp_path) == ["out of memory"], "another's rule is another's"
    there.groups["ada"]["security_group_rules"] = rules
    assert causes(cloud, tmp_path) == ["rule missing", "out of memory"]
    del there.addresses["ada"]
    assert causes(cloud, tmp_path)[0] == "address gone"


def test_a_cloud_that_shows_no_console_is_none_the_worse(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    Cloud(http, tmp_path, "ada")
    http.post(f"{NOVA}/servers/s-ada/action", status_code=501, json={})
    assert causes(cloud, tmp_path) == ["unknown"]
    http.post(f"{NOVA}/servers/s-ada/action", status_code=500, json={})
    assert causes(cloud, tmp_path) == ["unknown"]


class _Machine(BaseHTTPRequestHandler):
    health = (200, json.dumps({"jupyter": "ready"}))

    def do_GET(self) -> None:
        status, text = self.health
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Machine) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Access("127.0.0.1", "ada", None, None, "a", tmp_path / "known", web_port=server.server_port)
        server.shutdown()


def test_what_is_seen_from_outside(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cases: tuple[tuple[int, str, Outside], ...] = (
        (200, '{"jupyter": "ready"}', Outside("serving", {"jupyter": "ready"}, None)),
        (503, '{"jupyter": "starting"}', Outside("starting", {"jupyter": "starting"}, None)),
        (502, "<html>Bad gateway", Outside("starting", {}, None)),
    )
    for status, text, seen in cases:
        monkeypatch.setattr(_Machine, "health", (status, text))
        assert look(access) == seen


def test_what_a_caretaker_answers(access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_caretaker(access, tmp_path / "caretaker") == {}
    (tmp_path / "caretaker").write_text("a key")
    program = tmp_path / "ssh"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for script, answer in (
        ('case "$*" in *"caretaker@127.0.0.1 diagnose") echo \'{"full": {"/": 100}}\';; esac', {"full": {"/": 100}}),
        ("echo nonsense", {}),
        ("exit 255", {}),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        assert ask_caretaker(access, tmp_path / "caretaker") == answer
