"""JupyterLab through nginx, as a student's browser uses it."""

import base64
import json
import re
import socket
import time
from urllib.parse import urljoin

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from provision.guests.jupyter import Jupyter
from tests.roles.container import Container
from tests.roles.web.conftest import URL, visit
from tests.roles.web.tree import PASSWORD

LINKS = re.compile(r'(?:src|href)="([^"#]+)"')
GIB = 1 << 30


def cookie_header(browser: requests.Session) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies if cookie.path == "/")}


def test_a_cell_runs(machine: Container) -> None:
    browser = Jupyter(URL)
    assert browser.sign_in(PASSWORD)
    assert browser.run("print(6 * 7)", deadline=60) == "42\n"


def test_a_terminal_runs_a_command(student: requests.Session) -> None:
    xsrf = {"X-XSRFToken": str(student.cookies.get("_xsrf"))}
    name = student.post(f"{URL}api/terminals", json={}, headers=xsrf).json()["name"]
    headers = {**cookie_header(student), "Origin": URL.rstrip("/")}
    with connect(f"ws://127.0.0.1/terminals/websocket/{name}", additional_headers=headers) as terminal:
        terminal.send(json.dumps(["stdin", "echo $((6 * 7)) is the answer\r"]))
        end, seen = time.monotonic() + 30, ""
        while "42 is the answer" not in seen and time.monotonic() < end:
            kind, *words = json.loads(terminal.recv(timeout=30))
            seen += "".join(words) if kind == "stdout" else ""
    assert "42 is the answer" in seen
    assert student.delete(f"{URL}api/terminals/{name}", headers=xsrf).status_code == 204


def test_a_websocket_of_another_site_is_refused(student: requests.Session) -> None:
    xsrf = {"X-XSRFToken": str(student.cookies.get("_xsrf"))}
    name = student.post(f"{URL}api/terminals", json={}, headers=xsrf).json()["name"]
    headers = {**cookie_header(student), "Origin": "http://evil.example"}
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1/terminals/websocket/{name}", additional_headers=headers).close()
    student.delete(f"{URL}api/terminals/{name}", headers=xsrf)


def test_lab_and_its_files(student: requests.Session) -> None:
    page = student.get(f"{URL}lab")
    found = {urljoin(page.url, link) for link in LINKS.findall(page.text)}
    main = next(link for link in found if "/static/lab/main" in link)
    answers = {link: student.get(link) for link in found}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert answers[main].headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answers[main].headers["Content-Encoding"] == "gzip"
    assert student.get(f"{URL}static/favicons/favicon.ico").headers["Cache-Control"] == "no-cache"
    assert student.get(f"{URL}static/nothing.js").status_code == 404


def test_the_page_to_sign_in_says_that_nothing_is_encrypted(machine: Container) -> None:
    answer = visit("login")
    assert "is not encrypted" in answer.text
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]


def test_a_file_is_uploaded_as_lab_does_it(student: requests.Session) -> None:
    content = base64.b64encode(b"x" * (20 << 20)).decode()
    body = {"type": "file", "format": "base64", "content": content}
    headers = {"X-XSRFToken": str(student.cookies.get("_xsrf"))}
    answer = student.put(f"{URL}api/contents/big.bin", json=body, headers=headers)
    assert (answer.status_code, answer.json()["size"]) == (201, 20 << 20)
    assert student.delete(f"{URL}api/contents/big.bin", headers=headers).status_code == 204


@pytest.mark.parametrize(("size", "refused"), [(GIB, False), (GIB + GIB // 4, True)])
def test_a_gibibyte_may_be_uploaded_and_no_more(machine: Container, size: int, refused: bool) -> None:
    with socket.create_connection(("127.0.0.1", 80), timeout=3) as connection:
        connection.sendall(f"POST /api/contents HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        answer = connection.recv(100)
    assert (b" 413 " in answer) is refused, answer


def test_few_passwords_can_be_tried(machine: Container) -> None:
    codes = [visit("login", "POST", data={"password": "x"}).status_code for _ in range(30)]
    assert 429 in codes
    assert codes[:5].count(429) == 0
