"""What is large or slow goes through the public port as it is: a gibibyte, and an answer that pauses."""

import base64
import re
from collections.abc import Iterator

import requests

from tests.roles.container import Container
from tests.roles.web.conftest import URL

MIB, GIB = 1 << 20, 1 << 30
PIECES = 64
PIECE = GIB // PIECES
PAUSE = 10.0  # seconds
DAY = "1d"
TIMEOUTS = re.compile(r"^\s*(proxy_(?:read|send)_timeout) +(\S+);", re.MULTILINE)


def body(size: int) -> Iterator[bytes]:
    """Bytes that are made while they are sent."""
    piece = bytes(MIB)
    yield from (piece for _ in range(size // MIB))


def test_an_application_takes_a_gibibyte_in_one_body(student: requests.Session) -> None:
    headers = {"Referer": URL, "Content-Length": str(GIB)}
    sent = requests.Request("POST", f"{URL}echo/sink", data=body(GIB), headers=headers)
    prepared = student.prepare_request(sent)
    prepared.headers.pop("Transfer-Encoding", None)  # as a browser, which says how much it is
    answer = student.send(prepared)
    assert (answer.status_code, answer.json()) == (200, {"bytes": GIB})


def test_jupyter_takes_a_gibibyte_as_lab_sends_it(machine: Container, student: requests.Session) -> None:
    headers = {"X-XSRFToken": str(student.cookies.get("_xsrf"))}
    content = base64.b64encode(bytes(PIECE)).decode()
    place = f"{URL}api/contents/gibibyte.bin"
    for number in range(1, PIECES + 1):
        chunk = -1 if number == PIECES else number
        part = {"type": "file", "format": "base64", "content": content, "chunk": chunk}
        answer = student.put(place, json=part, headers=headers)
        assert answer.ok, answer.text
    assert machine.run("stat", "--format", "%s", "/home/student/notebooks/gibibyte.bin") == str(GIB)
    assert student.delete(place, headers=headers).status_code == 204


def test_an_answer_may_pause(student: requests.Session) -> None:
    answer = student.get(f"{URL}echo/slow", params={"seconds": PAUSE}, headers={"Referer": URL}, stream=True)
    assert b"".join(answer.iter_content(None)) == b"first last"
    assert answer.elapsed.total_seconds() < PAUSE / 2, "what is there is not held back"


def test_nothing_waits_for_less_than_a_day(machine: Container) -> None:
    said = TIMEOUTS.findall(machine.run("nginx", "-T"))
    assert said == [("proxy_read_timeout", DAY), ("proxy_send_timeout", DAY)]
