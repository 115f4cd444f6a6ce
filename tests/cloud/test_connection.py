"""Signing in, and every row of the error table: a status and a body in, one clear error of the right kind out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.connection import _http_session, connect, translated
from provision.cloud.identity import Caller, whoami
from provision.cloud.stacks import create_stack, observe_stacks
from provision.errors import (
    AuthenticationError,
    BusyError,
    CapacityError,
    CloudError,
    InvalidInputError,
    NotFoundError,
    ProvisionError,
    UnsureError,
)

from .conftest import HEAT, KEYSTONE, token

JSON = {"Content-Type": "application/json"}


def heat_error(message: str, kind: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "traceback": None}, "title": "Error", "explanation": message}


def test_signing_in_tells_who_we_are(cloud: Connection) -> None:
    assert whoami(cloud) == Caller("faculty", "faculty", "project1", ("heat_stack_owner", "member"), "password")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"status_code": 401, "json": {"error": {"message": "The request you have made requires authentication."}}},
         AuthenticationError, "credential is not accepted"),
        ({"status_code": 404, "headers": JSON, "json": {"error": {"message": "Could not find token: abc"}}},
         AuthenticationError, "does not know the token"),
        ({"status_code": 404, "headers": JSON, "json": {"error": {"message": "Could not recognize Fernet token"}}},
         AuthenticationError, "does not know the token"),
        ({"status_code": 404, "text": "<html><h1>Not Found</h1></html>"},
         AuthenticationError, "What answers there is not an identity service"),
        ({"status_code": 503, "text": "Service Unavailable"}, BusyError, "in trouble"),
        ({"exc": requests.exceptions.ConnectTimeout}, UnsureError, "no answer in time"),
        ({"exc": requests.exceptions.ConnectionError("[Errno 111] Connection refused")},
         UnsureError, "nothing answers"),
        ({"exc": requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED")}, CloudError, "certificate is not trusted"),
    ],
)  # fmt: skip
def test_a_sign_in_that_fails(http: rm.Mocker, answer: dict[str, Any], kind: type[ProvisionError], words: str) -> None:
    http.post(f"{KEYSTONE}/auth/tokens", **answer)
    with pytest.raises(kind, match=r"(?s)Signing in to cloud 'campus' failed.*" + words) as caught:
        connect("campus")
    assert type(caught.value) is kind
    assert caught.value.hint
    assert caught.value.__cause__ is not None


def test_an_address_that_is_another_services(http: rm.Mocker) -> None:
    http.get(KEYSTONE, json={"version": {"id": "v2.1", "status": "CURRENT", "links": []}})
    with pytest.raises(CloudError, match="not an identity service"):
        connect("campus")


def test_a_credential_that_is_not_complete(http: rm.Mocker) -> None:
    with pytest.raises(AuthenticationError, match=r"not complete.*auth_url"):
        connect("incomplete")


def test_a_token_without_a_project(http: rm.Mocker) -> None:
    http.post(f"{KEYSTONE}/auth/tokens", json=token(project=False), headers={"X-Subject-Token": "t"}, status_code=201)
    with pytest.raises(AuthenticationError, match="without a project"):
        connect("unscoped")


def test_a_cloud_that_nobody_knows_is_answered_with_those_there_are(http: rm.Mocker) -> None:
    with pytest.raises(NotFoundError, match=r"no cloud 'campsu'. Clouds found: campus, incomplete, unscoped"):
        connect("campsu")


def test_no_cloud_named(http: rm.Mocker) -> None:
    with pytest.raises(InvalidInputError, match=r"No cloud is named. Clouds found: campus"):
        connect(None)


def test_the_environment_names_the_cloud(http: rm.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD", "campus")
    assert whoami(connect(None)).user == "faculty"


def test_the_lab_is_found_beside_the_persons_own_clouds(http: rm.Mocker, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        connect("lab")
    assert caught.value.hint == "The lab is not there: start it with provision lab up."
    (tmp_path / "lab").mkdir()
    text = (tmp_path / "clouds.yaml").read_text()
    (tmp_path / "lab" / "clouds.yaml").write_text(text.replace("campus:", "lab:"))
    assert whoami(connect("lab")).project == "faculty"
    assert (tmp_path / "clouds.yaml").read_text() == text
    with pytest.raises(NotFoundError, match="Clouds found: campus, incomplete, lab, unscoped"):
        connect("labb")


NO_HOST = 'Went to status ERROR due to "Message: No valid host was found. There are not enough hosts available."'


@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (
            400,
            "You have reached the maximum stacks per tenant, 512. Please delete some stacks.",
            CapacityError,
            "quota",
        ),
        (403, "Quota exceeded for cores: Requested 1, but already used 20 of 20 cores", CapacityError, "quota"),
        (409, "Quota exceeded for resources: ['router'].", CapacityError, "quota"),
        (413, "Over limit", CapacityError, "quota"),
        (500, NO_HOST, CapacityError, "No compute node has room"),
        (
            500,
            "Exceeded maximum number of retries. Exhausted all hosts",
            CapacityError,
            "Every compute node that tried",
        ),
        (401, "Authentication required", AuthenticationError, "token has ended"),
        (404, "Failed to validate token", AuthenticationError, "its token has ended"),
        (403, "You are not authorized to use global_index.", CloudError, "role does not allow"),
        (404, "The Stack (x) could not be found.", NotFoundError, "does not exist"),
        (409, "Port is still in use.", CloudError, "in use, or exists"),
        (400, "ERROR: The Parameter (nope) was not defined in template.", CloudError, "refuses the request as wrong"),
        (429, "Too many requests", BusyError, "fewer calls"),
        (500, "Internal Server Error", UnsureError, "in trouble"),
        (502, "Bad Gateway", UnsureError, "in trouble"),
        (503, "Service Unavailable", BusyError, "in trouble"),
        (504, "Gateway Timeout", UnsureError, "in trouble"),
    ],
)
def test_every_answer_becomes_one_error(
    cloud: Connection, http: rm.Mocker, status: int, message: str, kind: type[ProvisionError], words: str
) -> None:
    http.get(f"{HEAT}/stacks", status_code=status, json=heat_error(message), headers=JSON)
    with pytest.raises(kind, match=r"(?s)Listing the stacks failed\. .*" + words) as caught:
        observe_stacks(cloud, "provision=demo-26J")
    assert type(caught.value) is kind
    assert message in caught.value.message
    assert caught.value.__cause__ is not None


def test_an_html_page_is_quoted_without_its_tags(cloud: Connection, http: rm.Mocker) -> None:
    page = "<html>\n<h1>502 Bad Gateway</h1>\n<p>nginx</p></html>"
    http.get(f"{HEAT}/stacks", status_code=502, text=page, headers={"Content-Type": "text/html"})
    with pytest.raises(CloudError, match=r"The cloud says: 502 Bad Gateway: nginx \(HTTP 502\)$"):
        observe_stacks(cloud, "provision=demo-26J")


def test_a_500_to_a_new_stack_speaks_of_application_credentials(cloud: Connection, http: rm.Mocker) -> None:
    http.post(f"{HEAT}/stacks", status_code=500, json=heat_error("Internal Server Error"), headers=JSON)
    with pytest.raises(CloudError) as caught:
        create_stack(cloud, "x", "template", {}, "a=b")
    assert "application credential" in str(caught.value.hint)


def test_our_own_errors_pass_through() -> None:
    with pytest.raises(NotFoundError, match=r"^Mine\.$"), translated("Anything"):
        raise NotFoundError("Mine.")


class _Busy(BaseHTTPRequestHandler):
    """Says 503 to the first request of each method, 200 to the next; counts both."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.command)
        body = json.dumps(self.seen).encode()
        self.send_response(503 if self.seen.count(self.command) == 1 else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # http.server names it

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _busy_server() -> Iterator[str]:
    handler = type("Busy", (_Busy,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_what_reads_is_sent_again_and_what_changes_is_not() -> None:
    with _busy_server() as url:
        session = _http_session()
        assert session.get(url).json() == ["GET", "GET"]
        answer = session.post(url)
    assert (answer.status_code, answer.json()) == (503, ["GET", "GET", "POST"])
