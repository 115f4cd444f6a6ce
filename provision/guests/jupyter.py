"""A client of Jupyter Server, as a browser is one: sign in, run a cell, use a terminal, over real websockets."""

import json
import secrets
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from urllib3.exceptions import InsecureRequestWarning
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

# Seconds; an emulated guest that starts several things at once answers slowly.
ANSWER_TIMEOUT = 120.0
TIMEOUTS = (30.0, ANSWER_TIMEOUT)  # to connect, and to be answered


class JupyterError(Exception):
    """What the server answered, in a few words."""


class Jupyter:
    """One browser's session with the server at `url` (which ends in a slash).

    `trusted`: its certificate, if it has one, must be vouched for.
    """

    def __init__(self, url: str, *, trusted: bool = True) -> None:
        self.url = url
        self.http = requests.Session()
        self.trusted = trusted
        if not trusted:
            urllib3.disable_warnings(InsecureRequestWarning)  # it was asked for

    def sign_in(self, password: str) -> bool:
        """Send the login form; true if the server then treats us as signed in."""
        self.request("GET", "login")
        form = {"password": password, "_xsrf": self._xsrf()}
        answer = self.request("POST", "login", data=form, allow_redirects=False)
        if answer.status_code not in (302, 401):
            raise JupyterError(f"POST /login answered {answer.status_code} {answer.reason}")
        return self.request("GET", "api/status").ok

    def run(self, code: str, *, deadline: float) -> str:
        """Run `code` in a new kernel and return what it printed; the kernel is removed afterwards.

        `deadline` is in seconds and covers the kernel's start.
        """
        end, request = time.monotonic() + deadline, _execute_request(code)
        with self._made("kernels", "id") as kernel, self._socket(f"api/kernels/{kernel}/channels") as socket:
            socket.send(json.dumps(request))
            return _output(socket, request["header"]["msg_id"], end)

    def type(self, command: str, *, deadline: float) -> tuple[int, str]:
        """Type `command` into a new terminal, as far as the shell's prompt: its exit code, and all that was shown.

        `deadline` is in seconds and covers the terminal's start.
        """
        end, left, right = time.monotonic() + deadline, secrets.token_hex(8), secrets.token_hex(8)
        # The marker in two halves: the terminal also shows what is typed into it.
        typed = f"{command}; printf '%s%s:%d:\\n' {left} {right} $?\r"
        with self._made("terminals", "name") as name, self._socket(f"terminals/websocket/{name}") as socket:
            socket.send(json.dumps(["set_size", 50, 1000, 500, 10000]))
            socket.send(json.dumps(["stdin", typed]))
            shown, code = _shown(socket, f"{left}{right}:", end)
        return code, shown

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """What the server answers at `path`. Raises JupyterError if it does not."""
        try:
            # Said each time: a bundle in the environment would outvote what the session says.
            said = {"timeout": TIMEOUTS, "verify": self.trusted and self.http.verify, **options}
            return self.http.request(method, self.url + path, **said)
        except requests.RequestException as exc:
            raise JupyterError(f"{method} /{path} failed: {exc}") from exc

    @contextmanager
    def _made(self, kind: str, key: str) -> Iterator[str]:
        """A new kernel or terminal, removed when the context is left."""
        token = {"X-XSRFToken": self._xsrf()}
        answer = self.request("POST", f"api/{kind}", json={}, headers=token)
        if not answer.ok:
            raise JupyterError(f"POST /api/{kind} answered {answer.status_code} {answer.reason}")
        name = str(answer.json()[key])
        try:
            yield name
        finally:
            self.request("DELETE", f"api/{kind}/{name}", headers=token)

    @contextmanager
    def _socket(self, path: str) -> Iterator[ClientConnection]:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies)
        headers = {"Cookie": cookies, "Origin": self.url.rstrip("/")}
        url = f"{self.url.replace('http', 'ws', 1)}{path}"
        context = _untrusting() if url.startswith("wss") and not self.trusted else None
        try:
            with connect(
                url,
                ssl=context,
                additional_headers=headers,
                open_timeout=ANSWER_TIMEOUT,
                ping_interval=None,  # each use has a deadline, and a busy machine answers pings late
            ) as socket:
                yield socket
        except (OSError, WebSocketException) as exc:
            raise JupyterError(f"the websocket of /{path} failed: {exc or type(exc).__name__}") from exc

    def _xsrf(self) -> str:
        return str(self.http.cookies.get("_xsrf", ""))


def _untrusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _execute_request(code: str) -> dict[str, Any]:
    """An execute_request of the Jupyter messaging protocol 5.3, in its JSON websocket form."""
    header = {"msg_id": uuid.uuid4().hex, "session": uuid.uuid4().hex, "username": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    return {
        "channel": "shell",
        "header": {**header, "msg_type": "execute_request", "date": ""},
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
    }


def _output(socket: ClientConnection, request: str, end: float) -> str:
    """Everything on stdout for `request`, up to the kernel's "idle"."""
    printed = ""
    while (left := end - time.monotonic()) > 0:
        message = json.loads(socket.recv(timeout=left))
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        if message["msg_type"] == "stream" and content["name"] == "stdout":
            printed += content["text"]
        elif message["msg_type"] == "error":
            raise JupyterError(f"the cell failed: {content['ename']}: {content['evalue']}")
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            return printed
    raise JupyterError("the kernel did not answer in time")


def _shown(socket: ClientConnection, marker: str, end: float) -> tuple[str, int]:
    """What a terminal (terminado's protocol) showed before `marker`, and the number behind it."""
    shown = ""
    while (left := end - time.monotonic()) > 0:
        kind, *words = json.loads(socket.recv(timeout=left))
        shown += words[0] if kind == "stdout" else ""
        before, found, after = shown.partition(marker)
        if found and ":" in after:
            return before, int(after.partition(":")[0])
    raise JupyterError("the terminal did not answer in time")
