"""Applications behind Jupyter's login: who is let in, from where, and what reaches them."""

import re
import time
from urllib.parse import urljoin

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.roles.container import Container
from tests.roles.web.conftest import URL, visit
from tests.roles.web.test_jupyter import LINKS, cookie_header

HERE = {"Referer": URL}
PATHS = ("openrefine", "proxy/3334", "nbdime", "echo", "proxy/8000")
INNER = re.compile(r"url\(['\"]?(?!data:)([^'\")]+)")
PAGES = ("openrefine/", "proxy/3334/", "nbdime/", "proxy/8899/", "nbdime/diff", "nbdime/merge")
VERSION = "openrefine/command/core/get-version"
# What a browser says, and what it may then see of: a first page, a page, what only OpenRefine's pages ask for.
ORIGINS = [
    ({}, (200, 200, 403)),
    ({"Referer": URL}, (200, 200, 200)),
    ({"Origin": "http://127.0.0.1"}, (200, 200, 200)),
    ({"Sec-Fetch-Site": "same-origin"}, (200, 200, 200)),
    ({"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}, (200, 200, 200)),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, (200, 403, 403)),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, (403, 403, 403)),
    ({"Sec-Fetch-Site": "same-site"}, (200, 403, 403)),
    ({"Referer": "http://evil.example/"}, (200, 403, 403)),
    ({"Referer": "http://127.0.0.1.evil.example/"}, (200, 403, 403)),
    ({"Referer": "http://evil.example/?http://127.0.0.1/"}, (200, 403, 403)),
    ({"Origin": "http://evil.example"}, (403, 403, 403)),
    ({"Origin": "http://127.0.0.1.evil.example"}, (403, 403, 403)),
    ({"Origin": "null"}, (403, 403, 403)),
    ({"Origin": "http://evil.example", "Referer": URL}, (403, 403, 403)),
]


@pytest.mark.parametrize("path", [*PATHS, "data"])
def test_a_stranger_is_led_to_the_login_and_back(machine: Container, path: str) -> None:
    answer = visit(f"{path}/a/b?c=1&d=%2F", allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/login?next=/{path}/a/b%3Fc%3D1%26d%3D%252F"
    assert visit(f"{path}/", "POST", allow_redirects=False).headers["Location"].startswith("/login")


@pytest.mark.parametrize("path", [*PATHS, "proxy/8899", "data"])
def test_a_missing_slash_redirects(machine: Container, path: str) -> None:
    answer = visit(f"{path}?a=1", allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/{path}/" + ("" if path == "data" else "?a=1")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_and_everything_on_it(student: requests.Session, path: str) -> None:
    page = student.get(URL + path)
    assert page.status_code == 200
    found = {urljoin(page.url, link) for link in LINKS.findall(page.text) if not link.startswith("https://")}
    assert found
    answers = {link: student.get(link, headers={"Referer": page.url}) for link in found}
    assert {link: answer.status_code for link, answer in answers.items() if answer.status_code != 200} == {}


@pytest.mark.parametrize("root", ["openrefine", "proxy/3334"])
def test_what_openrefines_styles_load(student: requests.Session, root: str) -> None:
    page = f"{URL}{root}/"
    styles = [urljoin(page, link) for link in LINKS.findall(student.get(page).text) if link.endswith(".css")]
    found = {urljoin(style, inner) for style in styles for inner in INNER.findall(student.get(style).text)}
    answers = {link: student.get(link, headers={"Referer": page}).status_code for link in found}
    # Debian leaves some fonts out of its package; what OpenRefine has itself is there at both paths.
    own = {link: visit("", at=link.replace(page, "http://127.0.0.1:3334/")).status_code for link in found}
    assert answers == own
    assert list(own.values()).count(200) > 10


@pytest.mark.parametrize("root", ["openrefine", "proxy/3334"])
def test_openrefine_makes_a_project(student: requests.Session, root: str) -> None:
    commands = f"{URL}{root}/command/core"
    token = student.get(f"{commands}/get-csrf-token", headers=HERE).json()["token"]
    form = {"project-name": "made", "format": "text/line-based/*sv"}
    upload = {"project-file": ("a.csv", b"a,b\n1,2\n")}
    query = {"csrf_token": token}
    create = f"{commands}/create-project-from-upload"
    made = student.post(create, params=query, data=form, files=upload, headers=HERE, allow_redirects=False)
    assert made.status_code == 302
    page = student.get(urljoin(made.url, made.headers["Location"]), headers=HERE)
    assert (page.status_code, "OpenRefine" in page.text) == (200, True)
    assert f"{URL}{root}/project?project=" in page.url
    number = page.url.rpartition("=")[2]
    rows = student.post(f"{commands}/get-rows?project={number}&start=0&limit=9", headers=HERE).json()["rows"]
    assert [cell["v"] for row in rows for cell in row["cells"]] == ["1", "2"]


@pytest.mark.parametrize(("headers", "expected"), ORIGINS, ids=str)
def test_what_another_site_asks_for_is_refused(
    student: requests.Session, headers: dict[str, str], expected: tuple[int, int, int]
) -> None:
    pages = ("openrefine/", "openrefine/images/favicon.png", VERSION)
    answers = [student.get(URL + page, headers=headers, allow_redirects=False) for page in pages]
    assert tuple(answer.status_code for answer in answers) == expected


@pytest.mark.parametrize("path", [*PATHS, "proxy/8899"])
def test_another_site_cannot_post(student: requests.Session, path: str) -> None:
    answer = student.post(f"{URL}{path}/", headers={"Origin": "http://evil.example"}, allow_redirects=False)
    assert answer.status_code == 403


def test_an_application_gets_its_own_cookies_and_no_other(student: requests.Session) -> None:
    more = "; username-localhost-8888=x;username-other=y; _xsrf=z; mine=1; other=2"
    cookies = cookie_header(student)["Cookie"] + more
    seen = visit("echo/a?b=1", headers={"Cookie": cookies, **HERE}).json()
    assert seen["Cookie"] == "mine=1; other=2"
    many = "; ".join(f"username-{number}=x" for number in range(20))
    cookies = f"{cookies}; {many}; last=3"
    assert "Cookie" not in visit("echo/a", headers={"Cookie": cookies}).json()


def test_an_application_is_told_where_it_is(student: requests.Session) -> None:
    seen = student.get(f"{URL}proxy/8000/a?b=1", headers={**HERE, "Origin": "http://127.0.0.1"})
    said = seen.json()
    assert (said["path"], said["Host"]) == ("/a?b=1", "127.0.0.1:8000")
    assert (said["Origin"], said["Referer"]) == ("http://127.0.0.1:8000", "http://127.0.0.1:8000/")
    assert (said["X-Forwarded-Host"], said["X-Forwarded-Prefix"]) == ("127.0.0.1", "/proxy/8000")
    assert seen.headers["Set-Cookie"] == "own=kept; Path=/proxy/8000/; SameSite=Lax"
    assert student.get(f"{URL}echo/away", allow_redirects=False).headers["Location"] == "/echo/landed"


def test_an_application_has_websockets(student: requests.Session) -> None:
    headers = {**cookie_header(student), "Origin": "http://127.0.0.1"}
    for path in ("echo", "proxy/8000"):
        with connect(f"ws://127.0.0.1/{path}/socket", additional_headers=headers) as socket:
            socket.send("hello")
            assert socket.recv(timeout=10) == "hello"
    for wrong in ({"Origin": "http://127.0.0.1"}, {**headers, "Origin": "http://evil.example"}):
        with pytest.raises(InvalidStatus):
            connect("ws://127.0.0.1/echo/socket", additional_headers=wrong).close()


def test_an_application_takes_a_large_upload(student: requests.Session) -> None:
    body = b"x" * (100 << 20)
    assert student.post(f"{URL}echo/", data=body, headers=HERE).json() == {"bytes": len(body)}


def test_nbdime_compares_two_notebooks(student: requests.Session) -> None:
    headers = {"X-XSRFToken": str(student.cookies.get("_xsrf"))}
    for name, source in (("a", "1"), ("b", "2")):
        cell = {"cell_type": "markdown", "id": "c", "metadata": {}, "source": source}
        content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        body = {"type": "notebook", "format": "json", "content": content}
        assert student.put(f"{URL}api/contents/{name}.ipynb", json=body, headers=headers).ok
    names = {"base": "a.ipynb", "remote": "b.ipynb"}
    compared = student.post(f"{URL}nbdime/api/diff", json=names, headers={"Origin": "http://127.0.0.1"})
    assert compared.status_code == 200
    assert compared.json()["diff"]


def test_the_course_data_is_there_to_read(student: requests.Session) -> None:
    assert student.get(f"{URL}data/table.csv").text == "a,b\n"
    assert "table.csv" in student.get(f"{URL}data/").text
    assert student.put(f"{URL}data/table.csv", data="x").status_code == 405
    assert student.get(f"{URL}data/../echo.py", headers=HERE).status_code == 404


def test_deleted_folders_are_healed(machine: Container, student: requests.Session) -> None:
    machine.run("sh", "-c", "systemctl stop openrefine; rm -rf /home/student/openrefine-projects")
    machine.run("systemctl", "start", "openrefine")
    assert machine.run("stat", "--format", "%U:%G %a", "/home/student/openrefine-projects") == "student:student 750"
    end = time.monotonic() + 30
    while student.get(f"{URL}openrefine/").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.3)
