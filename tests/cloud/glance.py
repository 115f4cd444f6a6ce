"""A small Keystone and Glance on a real socket: for what happens while a body is on its way, which no mock can tell."""

import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .conftest import token, version

READ = 65536


@dataclass
class Glance:
    """What the service holds, what it was asked, and how it behaves.

    `puts` says what becomes of each body in turn: "" taken; "reset" the connection breaks within it; "lost" it is taken
    and the connection closed; "old token" 401; a status such as "413", "413 early" (the body is not read) or
    "504 taken"; all that come after are taken. `faults` overrides what an image says of itself.
    """

    url: str = ""
    puts: list[str] = field(default_factory=list)
    faults: dict[str, Any] = field(default_factory=dict)
    converts_to: str | None = None
    import_fails: str | None = None
    task_reads: int = 0  # how often an import's task is seen at work after its image is active
    keeps: bool = False  # it refuses to delete
    offers: dict[str, Any] = field(default_factory=dict)  # what it says of itself, by path
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[tuple[str, str], str] = field(default_factory=dict)  # the status of each image and project
    content: dict[str, bytes] = field(default_factory=dict)
    servers: list[dict[str, Any]] = field(default_factory=list)  # what Nova has
    project: str = "project1"  # whose tokens it gives out
    bodies: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tokens: int = 0
    made: int = 0

    def take(self, image: dict[str, Any], body: bytes) -> None:
        self.bodies.append(body)
        self.content[image["id"]] = body
        sums = {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(body).hexdigest()}
        image |= {"size": len(body), "checksum": hashlib.md5(body).hexdigest(), **sums}  # noqa: S324 - Glance keeps it

    def listed(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        """The images that a list shows: one's own, public ones, shared ones of the membership asked for."""
        tag, hidden = asked.pop("tag", None), asked.pop("os_hidden", "False").lower() == "true"
        wanted = asked.pop("member_status", "accepted")
        return [
            image
            for image in self.images.values()
            if (tag is None or tag in image.get("tags", []))
            and image.get("os_hidden", False) == hidden
            and all(image.get(name) == value for name, value in asked.items())
            and self.shows(image, wanted)
        ]

    def shows(self, image: dict[str, Any], wanted: str) -> bool:
        if image.get("owner") == self.project:
            return True
        status = self.members.get((image["id"], self.project))
        shared = image.get("visibility") == "shared" and status and wanted in ("all", status)
        return bool(shared) or image.get("visibility", "public") == "public"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    glance: Glance

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.glance.asked.append(f"GET {self.path}")
        url = self.glance.url
        if self.path.startswith("/v3"):
            return self.say(200, {"version": version("stable", "v3.14", f"{url}/v3")})
        if self.path in ("/glance", "/glance/"):
            return self.say(300, {"versions": [version("CURRENT", "v2.15", f"{url}/glance/v2/")]})
        if self.path in ("/compute", "/compute/"):
            said = version("CURRENT", "v2.1", f"{url}/compute/", version="2.93", min_version="2.1")
            return self.say(200, {"version": said})
        if self.path.startswith("/compute/servers"):
            return self.say(200, {"servers": self.glance.servers})
        if (offer := self.glance.offers.get(self.path.removeprefix("/glance/v2"))) or "/images" not in self.path:
            return self.say(200 if offer else 404, offer)
        if "status=active" in self.path:
            return self.say(200, {"images": []})
        if "?" in self.path:
            return self.say(200, {"images": self.glance.listed(dict(parse_qsl(urlsplit(self.path).query)))})
        if self.path.split("/")[4] not in self.glance.images:
            return self.say(404, {"message": "No such image."})
        image = self.image()
        if self.path.endswith("/file"):
            return self.say(200, None, body=self.glance.content[image["id"]])
        if self.path.endswith("/tasks"):
            return self.say(200, {"tasks": self.tasks(image)})
        answer = {**image, **self.glance.faults}
        if image["status"] == "saving":
            image["status"] = "active"
        if image["status"] == "importing" and not self.glance.import_fails:
            image["status"] = "active"
            if self.glance.converts_to:
                self.glance.take(image, b"converted")
                image["disk_format"] = self.glance.converts_to
        return self.say(200, answer)

    def do_POST(self) -> None:
        self.glance.asked.append(f"POST {self.path}")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v3/auth/tokens":
            self.glance.tokens += 1
            services = token()
            services["token"]["project"]["id"] = self.glance.project
            for service in services["token"]["catalog"]:
                service["endpoints"][0]["url"] = f"{self.glance.url}/{service['type'].replace('image', 'glance')}"
            return self.say(201, services, {"X-Subject-Token": f"t{self.glance.tokens}"})
        if self.path.endswith("/members"):
            key = (self.image()["id"], body["member"])
            there = key in self.glance.members
            self.glance.members.setdefault(key, "pending")
            return self.say(409 if there else 200, {})
        if self.path.endswith("/import"):
            assert body == {"method": {"name": "glance-direct"}}
            self.image()["status"] = "importing"
            return self.say(202, {})
        self.glance.made += 1
        image = {"id": f"image{self.glance.made}", "status": "queued", "size": None, **body}
        image |= {"owner": self.glance.project, "created_at": f"2026-11-26T10:00:{self.glance.made:02}Z"}
        self.glance.images[image["id"]] = image
        return self.say(201, image)

    def do_PATCH(self) -> None:
        self.glance.asked.append(f"PATCH {self.path}")
        assert self.headers["Content-Type"] == "application/openstack-images-v2.1-json-patch"
        changes = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for change in [] if self.glance.task_reads else changes:  # a task at work writes the image again as it was
            name = change["path"].removeprefix("/")
            if change["op"] == "remove":
                if name not in self.image():
                    return self.say(409, {"message": f"Property {name} does not exist."})
                del self.image()[name]
            else:
                self.image()[name] = change["value"]
        return self.say(200, self.image())

    def do_DELETE(self) -> None:
        self.glance.asked.append(f"DELETE {self.path}")
        if self.glance.keeps or self.image().get("protected"):
            return self.say(403, {})
        del self.glance.images[self.image()["id"]]
        return self.say(204, None)

    def do_PUT(self) -> None:
        self.glance.asked.append(f"PUT {self.path}")
        if "/members/" in self.path:
            status = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["status"]
            self.glance.members[self.image()["id"], self.path.rpartition("/")[2]] = status
            return self.say(200, {})
        self.glance.headers.append(dict(self.headers))
        order = self.glance.puts.pop(0) if self.glance.puts else ""
        length = int(self.headers["Content-Length"])
        if order.endswith("early"):
            self.close_connection = True
            return self.say(int(order.split()[0]), None, {"Connection": "close"})
        body = self.rfile.read(length // 2 if order == "reset" else length)
        if order == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return None
        if order == "old token":
            return self.say(401, None)
        if order.isdigit():
            return self.say(
                int(order), {"message": "Not so." if order in ("403", "409") else "No space left on device."}
            )
        self.close_connection = order == "lost" or len(body) < length
        if len(body) == length:
            self.glance.take(self.image(), body)
            staged = self.path.endswith("/stage")
            self.image()["status"] = "uploading" if staged else "saving" if order else "active"
        if self.close_connection:
            return None
        return self.say(int(order.split()[0]) if order else 204, None)

    def tasks(self, image: dict[str, Any]) -> list[dict[str, str]]:
        if self.glance.import_fails:
            return [{"status": "failure", "message": self.glance.import_fails}]
        if image["status"] == "active" and self.glance.task_reads:
            self.glance.task_reads -= 1
            return [{"status": "processing"}]
        return []

    def image(self) -> dict[str, Any]:
        return self.glance.images[self.path.split("/")[4]]

    def say(self, status: int, answer: Any, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        content = body if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def glance_on_a_socket() -> Iterator[Glance]:
    glance = Glance()
    handler = type("Handler", (_Handler,), {"glance": glance})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        glance.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield glance
        server.shutdown()
        thread.join()
