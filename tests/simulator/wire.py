"""A request and its answer, and the forms in which each service says no."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked. `service` is the first part of the path, `path` the rest; `url` is the simulator's own."""

    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes
    url: str

    @property
    def service(self) -> str:
        return self.target.split("?")[0].split("/")[1]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path.removeprefix(f"/{self.service}")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def fields(self) -> set[str]:
        """The fields that are asked for alone."""
        return {value for key, value in parse_qsl(urlsplit(self.target).query) if key == "fields"}

    @property
    def body(self) -> Any:
        return json.loads(self.content or b"{}")


@dataclass(frozen=True)
class Answer:
    """What is answered: `body` as JSON, or text as it is."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}


def _heat(status: int, words: str, kind: str) -> Any:
    error = {"message": words, "traceback": None, "type": kind}
    title = _TITLES.get(status, "Internal Server Error")
    return {"explanation": "The server could not comply with the request.", "code": status, "error": error,
            "title": title}  # fmt: skip


_FORMS: Mapping[str, Callable[[int, str, str], Any]] = {
    "heat": _heat,
    "neutron": lambda _status, words, kind: {"NeutronError": {"type": kind, "message": words, "detail": ""}},
    "nova": lambda status, words, kind: {kind: {"code": status, "message": words}},
    "identity": lambda status, words, _kind: {
        "error": {"code": status, "message": words, "title": _TITLES.get(status, "")}
    },
}


def refusal(service: str, status: int, words: str, kind: str = "error", **headers: str) -> Answer:
    """A no in the service's own form. Glance's, and that of what stands before a service, is a page."""
    if form := _FORMS.get(service):
        return Answer(status, form(status, words, kind), headers)
    return Answer(status, f"<html><body><h1>{status}</h1>\n{words}\n</body></html>", {**headers, **HTML})


HTML = {"Content-Type": "text/html; charset=utf-8"}


def version(status: str, number: str, url: str, **more: str) -> dict[str, Any]:
    """One version of a service, as its root lists it."""
    return {"status": status, "id": number, "links": [{"rel": "self", "href": url}], **more}
