"""A client of Jupyter Server, as a browser is one: sign in with a password, run a cell over the websocket."""

import json
import time
import uuid
from typing import Any

import requests
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

REQUEST_TIMEOUT = 30.0  # seconds; an emulated guest answers its first requests slowly


class JupyterError(Exception):
    """What the server answered, in a few words."""


class Jupyter:
    """One browser's session with the server at `url` (which ends in a slash)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()

    def sign_in(self, password: str) -> bool:
        """Send the login form; true if the server then treats us as signed in."""
        self._request("GET", "login")
        form = {"password": password, "_xsrf": self._xsrf()}
        answer = self._request("POST", "login", data=form, allow_redirects=False)
        if answer.status_code not in (302, 401):
            raise JupyterError(f"POST /login answered {answer.status_code} {answer.reason}")
        return self._request("GET", "api/status").ok

    def run(self, code: str, *, deadline: float) -> str:
        """Run `code` in a new kernel and return what it printed; the kernel is removed afterwards.

        `deadline` is in seconds and covers the kernel's start.
        """
        answer = self._request("POST", "api/kernels", json={}, headers={"X-XSRFToken": self._xsrf()})
        if answer.status_code != requests.codes.created:
            raise JupyterError(f"POST /api/kernels answered {answer.status_code} {answer.reason}")
        kernel = answer.json()["id"]
        try:
            return self._execute(kernel, code, time.monotonic() + deadline)
        finally:
            self._request("DELETE", f"api/kernels/{kernel}", headers={"X-XSRFToken": self._xsrf()})

    def _execute(self, kernel: str, code: str, end: float) -> str:
        channels = f"{self.url.replace('http', 'ws', 1)}api/kernels/{kernel}/channels"
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies)
        headers = {"Cookie": cookies, "Origin": self.url.rstrip("/")}
        request = _execute_request(code)
        try:
            with connect(channels, additional_headers=headers, open_timeout=REQUEST_TIMEOUT) as socket:
                socket.send(json.dumps(request))
                return _output(socket, request["header"]["msg_id"], end)
        except (OSError, WebSocketException) as exc:
            raise JupyterError(f"the kernel's websocket failed: {exc or type(exc).__name__}") from exc

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self.http.request(method, self.url + path, timeout=REQUEST_TIMEOUT, **options)
        except requests.RequestException as exc:
            raise JupyterError(f"{method} /{path} failed: {exc}") from exc

    def _xsrf(self) -> str:
        return str(self.http.cookies.get("_xsrf", ""))


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
