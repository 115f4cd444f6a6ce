"""A cloud that takes any image and keeps none: as much Keystone and Glance as an upload asks for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

_SCHEMA = {"properties": {"os_hash_algo": {}, "disk_format": {"enum": ["qcow2", "raw"]}}}
_TOKEN = {
    "methods": ["password"],
    "expires_at": "2999-01-01T00:00:00.000000Z",
    "user": {"id": "user", "name": "bench", "domain": {"id": "default", "name": "Default"}},
    "project": {"id": "project", "name": "bench", "domain": {"id": "default", "name": "Default"}},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    images: dict[str, Any]  # the one image, as Glance tells of it
    bodies: list[int]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        answers: dict[str, Any] = {
            "/v3": {"version": self.version("v3.14", "stable", "v3")},
            "/glance": {"versions": [self.version("v2.15", "CURRENT", "glance/v2/")]},
            "/glance/v2/schemas/image": _SCHEMA,
            "/glance/v2/images": {"images": []},
            "/glance/v2/images/one": self.images,
        }
        self.say(200 if path in answers else 404, answers.get(path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/v3"):
            endpoint = {
                "interface": "public",
                "region": "one",
                "region_id": "one",
                "id": "e",
                "url": self.url("glance"),
            }
            catalog = [{"type": "image", "name": "glance", "endpoints": [endpoint]}]
            self.say(201, {"token": {**_TOKEN, "catalog": catalog}}, ("X-Subject-Token", "token"))
        else:
            self.images.update(body, id="one", status="queued", size=None, owner="project")
            self.say(201, self.images)

    def do_PUT(self) -> None:
        left, space = int(self.headers["Content-Length"]), bytearray(2**20)
        self.images.update(size=left, status="active")
        self.bodies.append(left)
        while left:
            left -= self.rfile.readinto(memoryview(space)[: min(left, len(space))])
        self.say(204)

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(200, self.images)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.connection.getsockname()[1]}/{path}"

    def version(self, number: str, status: str, path: str) -> dict[str, Any]:
        return {"status": status, "id": number, "links": [{"rel": "self", "href": self.url(path)}]}

    def say(self, status: int, body: Any = None, header: tuple[str, str] = ("Server", "sink")) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header(*header)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def sink(work: Path) -> Iterator[tuple[dict[str, str], list[int]]]:
    """The environment in which `provision` uploads to the sink, and the lengths of what it has been sent."""
    bodies: list[int] = []
    handler = type("Handler", (_Handler,), {"images": {}, "bodies": bodies})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        clouds = work / "clouds.yaml"
        auth = {"auth_url": f"http://127.0.0.1:{server.server_address[1]}/v3", "username": "b", "password": "b"}
        auth |= {"project_name": "b", "user_domain_name": "Default", "project_domain_name": "Default"}
        clouds.write_text(json.dumps({"clouds": {"sink": {"auth": auth, "region_name": "one"}}}))
        yield {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": "sink", "NO_PROXY": "127.0.0.1"}, bodies
        server.shutdown()
        clouds.unlink()
