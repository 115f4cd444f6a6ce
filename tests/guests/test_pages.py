"""The proof of an application behind Jupyter's login, against a server that does it right, and then one thing wrong."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.pages import assets, prove_application
from provision.guests.probes import NotYetError

LOGIN = '<form action="/login" method="post"><input name="password"></form>'
PAGE = """<html><head><link rel="stylesheet" href="style.css#top"><link rel="canonical" href="/nowhere">
<script src="./bundle.js"></script></head><body><img src="/openrefine/logo.svg"><img src="data:image/png;base64,AA">
<script src="https://elsewhere.example/x.js"></script><script>inline()</script></body></html>"""
FILES = {"/openrefine/": PAGE, "/openrefine/style.css": "", "/openrefine/bundle.js": "", "/openrefine/logo.svg": ""}

# What the machine may do wrong: (path, signed in, method) -> status.
Faults = dict[tuple[str, bool, str], int]


@contextmanager
def machine(faults: Faults) -> Iterator[str]:
    """A machine whose nginx serves OpenRefine as it should, but for the faults."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, signed_in = urlsplit(self.path).path, "session=yes" in self.headers.get("Cookie", "")
            if status := faults.get((path, signed_in, self.command)):
                self.answer(status, "fault")
            elif path == "/login":
                self.answer(200, LOGIN)
            elif path in ("/openrefine", "/proxy/3334", "/proxy/3334/"):
                self.answer(302, "", Location="/openrefine/")
            elif not signed_in:
                self.answer(302, "", Location=f"/login?next={path}")
            elif self.headers.get("Sec-Fetch-Site") == "cross-site" or self.command == "POST":
                self.answer(403, "")
            else:
                self.answer(200 if path in FILES else 404, FILES.get(path, ""))

        def do_POST(self) -> None:
            self.do_GET()

        def answer(self, status: int, body: str, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

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


def signed_in(url: str) -> Jupyter:
    browser = Jupyter(url)
    browser.http.cookies.set("session", "yes")
    return browser


def test_a_page_with_its_files_for_its_student_alone() -> None:
    with machine({}) as url:
        assert prove_application(signed_in(url), "openrefine", time.monotonic()) == "3 linked files"


def test_a_page_that_leads_to_the_other_one() -> None:
    with machine({}) as url:
        assert prove_application(signed_in(url), "proxy/3334", time.monotonic()) == "3 linked files"


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (("/openrefine/", False, "GET"), 200, "to a stranger"),
        (("/openrefine/", True, "GET"), 502, "answered 502"),
        (("/openrefine", True, "GET"), 200, "without a slash"),
        (("/openrefine/bundle.js", True, "GET"), 404, "bundle.js, which its page loads, answered 404"),
        (("/openrefine/logo.svg", True, "GET"), 403, "logo.svg, which its page loads, answered 403"),
        (("/openrefine/style.css", False, "GET"), 200, "style.css answered 200 to a stranger"),
        (("/openrefine/", True, "POST"), 200, "to another site's page"),
    ],
)
def test_each_fault_is_found(fault: tuple[str, bool, str], status: int, words: str) -> None:
    with machine({fault: status}) as url, pytest.raises(NotYetError, match=words):
        prove_application(signed_in(url), "openrefine", time.monotonic())


def test_who_is_not_signed_in_does_not_pass() -> None:
    with machine({}) as url, pytest.raises(NotYetError, match="at /login"):
        prove_application(Jupyter(url), "openrefine", time.monotonic())


def test_nobody_there() -> None:
    with pytest.raises(JupyterError):
        prove_application(Jupyter("http://127.0.0.1:9/"), "openrefine", time.monotonic())


def test_the_files_of_a_page_are_those_of_its_own_server() -> None:
    assert assets(PAGE, "http://10.0.0.1/openrefine/") == [
        "http://10.0.0.1/openrefine/style.css",
        "http://10.0.0.1/openrefine/bundle.js",
        "http://10.0.0.1/openrefine/logo.svg",
    ]
