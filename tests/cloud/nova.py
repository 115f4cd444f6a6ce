"""Servers by id, which an action changes at the second look after it, as Nova's do."""

import re
from typing import Any

import requests_mock as rm

from .conftest import NOVA

TAG = "provision=demo-26J"
AFTER = {
    "suspend": "SUSPENDED",
    "resume": "ACTIVE",
    "shelve": "SHELVED_OFFLOADED",
    "unshelve": "ACTIVE",
    "os-start": "ACTIVE",
    "unpause": "ACTIVE",
    "reboot": "ACTIVE",
}


class Nova:
    """`fate` has servers whose actions are refused: with this status, this often."""

    def __init__(self, http: rm.Mocker, **fate: tuple[int, int]) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.fate = fate
        self.going: set[str] = set()  # at the second look after their deletion
        http.get(f"{NOVA}/servers/detail", json=self.index)
        http.get(re.compile(f"{NOVA}/servers/s-[^/]+$"), json=self.show)
        http.post(re.compile(f"{NOVA}/servers/[^/]+/action"), json=self.act)
        http.delete(re.compile(f"{NOVA}/servers/s-[^/]+$"), json=self.delete)

    def add(self, student: str, status: str, name: str = "", **more: Any) -> None:
        flavor = {"original_name": "m1.small", "vcpus": 2, "ram": 4096, "disk": 20}
        self.servers[f"s-{student}"] = {
            "id": f"s-{student}",
            "name": name or f"demo-26J-{student}",
            "status": status,
            "OS-EXT-STS:task_state": None,
            "metadata": {"provision": TAG},
            "created": "2026-11-22T10:00:00Z",
            "flavor": flavor,
            **more,
        }

    def index(self, _request: Any, _context: Any) -> Any:
        shown = [dict(server) for server in self.servers.values()]
        self.servers = {id_: server for id_, server in self.servers.items() if id_ not in self.going}
        for server in self.servers.values():
            task, server["OS-EXT-STS:task_state"] = server["OS-EXT-STS:task_state"], None
            server["status"] = AFTER.get(task or "", server["status"])
        return {"servers": shown}

    def show(self, request: Any, context: Any) -> Any:
        found = self.servers.get(request.path.rpartition("/")[2])
        context.status_code = 200 if found else 404
        return {"server": found} if found else {"itemNotFound": {"message": "Instance could not be found."}}

    def act(self, request: Any, context: Any) -> Any:
        id_, (action,) = request.path.split("/")[-2], request.json()
        student = id_.removeprefix("s-")
        self.asked.append(f"{action} {student}")
        status, times = self.fate.get(student, (202, 0))
        context.status_code = 202
        if times:
            self.fate[student] = status, times - 1
            context.status_code = status
            return {"conflictingRequest": {"message": "Cannot do this in its vm_state"}}
        self.servers[id_]["OS-EXT-STS:task_state"] = action
        return None

    def delete(self, request: Any, context: Any) -> Any:
        self.asked.append(f"delete {request.path.rpartition('/')[2]}")
        self.going.add(request.path.rpartition("/")[2])
        context.status_code = 204
