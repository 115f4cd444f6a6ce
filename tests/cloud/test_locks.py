"""The lock on a cohort: of many who take it at once one has it, a dead one's is taken over by one, and all are told."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from random import Random
from threading import RLock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from openstack.connection import Connection

from provision.cloud.connection import connect
from provision.cloud.locks import NAME
from provision.errors import CloudError, PreflightError
from provision.progress import Silent
from provision.workflows import locking
from provision.workflows.locking import LEASE, hold

from ..simulator.clock import VirtualClock
from .conftest import CLOUDS, KEYSTONE, token, version

COHORT = "demo-26J"
Answer = tuple[int, Any]


def no(status: int, words: str) -> Answer:
    return status, {"NeutronError": {"message": words}}


class Neutron:
    """Networks, subnets and ports. Names exclude nobody; a fixed address on a network does. All takes its time."""

    def __init__(self) -> None:
        self.clock, self.dice, self.mutex, self.url = VirtualClock(), Random(1), RLock(), ""  # noqa: S311
        self.networks: dict[str, dict[str, Any]] = {}
        self.ports: dict[str, dict[str, Any]] = {}
        self.most = 0  # networks at once
        self.full = False
        self.trouble: list[Any] = []  # of the next ports asked for: "lost", or a status

    def answer(self, method: str, url: str, body: Any) -> Answer:
        path, query = urlsplit(url).path.split("/")[1:], parse_qs(urlsplit(url).query)
        if path[0] == "v3" and method == "GET":
            return 200, {"version": version("stable", "v3.14", f"{self.url}/v3")}
        if path[0] == "v3":
            said = token()
            for service in said["token"]["catalog"]:
                service["endpoints"][0]["url"] = f"{self.url}/{service['type']}"
            return 201, said
        if len(path) < 3 or not path[2]:
            return 200, {"versions": [version("CURRENT", "v2.0", f"{self.url}/network/v2.0/")]}
        act = getattr(self, f"{method.lower()}_{path[2]}")
        self.clock.sleep(self.dice.random())
        with self.mutex:
            done: Answer = act(*path[3:], *([body] if body else []), **{name: each[0] for name, each in query.items()})
        self.clock.sleep(self.dice.random())
        return done

    def now(self) -> str:
        return datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def new(self, things: dict[str, dict[str, Any]], thing: dict[str, Any]) -> dict[str, Any]:
        name = f"{self.dice.randrange(10**9):09}"  # so that the order of ids says nothing
        things[name] = {**thing, "id": name, "created_at": self.now(), "updated_at": self.now()}
        return things[name]

    def get_networks(self, *, name: str, project_id: str) -> Answer:
        assert (name, project_id) == (NAME, "project1")
        return 200, {"networks": list(self.networks.values())}

    def post_networks(self, body: Any) -> Answer:
        if self.full:
            return no(409, "Quota exceeded for resources: ['network'].")
        made = self.new(self.networks, {**body["network"], "subnets": []})
        self.most = max(self.most, len(self.networks))
        return 201, {"network": made}

    def delete_networks(self, name: str) -> Answer:
        if any(port["network_id"] == name for port in self.ports.values()):
            return no(409, f"Unable to complete operation on network {name}. There are one or more ports in use.")
        return (204, None) if self.networks.pop(name, None) else no(404, "Network could not be found.")

    def post_subnets(self, body: Any) -> Answer:
        network = self.networks.get(body["subnet"]["network_id"])
        if network is None:
            return no(404, "Network could not be found.")
        if network["subnets"]:
            return no(400, "Requested subnet with cidr 198.18.0.0/15 overlaps with another subnet.")
        network["subnets"] = ["s"]
        return 201, {"subnet": {"id": "s"}}

    def get_ports(self, *, project_id: str, fixed_ips: str) -> Answer:
        wanted = [{"ip_address": fixed_ips.removeprefix("ip_address=")}]
        return 200, {"ports": [port for port in self.ports.values() if port["fixed_ips"] == wanted]}

    def post_ports(self, body: Any) -> Answer:
        port, trouble = body["port"], self.trouble.pop(0) if self.trouble else None
        if isinstance(trouble, int):
            return no(trouble, "It is not to be.")
        network = self.networks.get(port["network_id"])
        if network is None:
            return no(404, "Network could not be found.")
        if not network["subnets"]:
            return no(400, "IP address is not a valid IP for any of the subnets on the specified network.")
        place = (port["network_id"], port["fixed_ips"])
        if any((each["network_id"], each["fixed_ips"]) == place for each in self.ports.values()):
            return no(409, "IP address already allocated in subnet s.")
        made = self.new(self.ports, port)
        return (0, None) if trouble == "lost" else (201, {"port": made})

    def put_ports(self, name: str, body: Any) -> Answer:
        if name not in self.ports:
            return no(404, "Port could not be found.")
        self.ports[name] |= {**body["port"], "updated_at": self.now()}
        return 200, {"port": self.ports[name]}

    def delete_ports(self, name: str) -> Answer:
        return (204, None) if self.ports.pop(name, None) else no(404, "Port could not be found.")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    neutron: Neutron

    def log_message(self, *_: Any) -> None:
        pass

    def serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        status, said = self.neutron.answer(self.command, self.path, json.loads(self.rfile.read(length) or "null"))
        if not status:
            self.close_connection = True
            return
        content = b"" if said is None else json.dumps(said).encode()
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", "X-Subject-Token": "t"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815  # http.server's names


@pytest.fixture
def neutron() -> Iterator[Neutron]:
    """On a socket, for requests-mock lets only one call be under way."""
    service = Neutron()
    handler = type("Handler", (_Handler,), {"neutron": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        service.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield service
        server.shutdown()


@pytest.fixture
def cloud(neutron: Neutron, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(CLOUDS.replace(KEYSTONE, f"{neutron.url}/v3"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connection = connect("campus", neutron.clock)
    connection.network.get("/networks", params={"name": NAME, "project_id": "project1"})  # found once, before many ask
    return connection


def lock(cloud: Connection, neutron: Neutron, verb: str = "launch") -> AbstractContextManager[Callable[[], None]]:
    return hold(cloud, COHORT, verb, neutron.clock, Silent())


def many(cloud: Connection, neutron: Neutron, takers: int) -> list[str]:
    """What becomes of so many who take the lock within a second, and hold it for an hour if they get it."""
    results: SimpleQueue[str] = SimpleQueue()
    go: SimpleQueue[bool] = SimpleQueue()

    def take(number: int) -> None:
        neutron.clock.sleep(neutron.dice.random())
        try:
            with lock(cloud, neutron, f"launch {number}"):
                results.put("won")
                neutron.clock.take(go)
        except PreflightError:
            results.put("refused")
        except CloudError as exc:
            results.put(exc.message)

    for number in range(takers):
        neutron.clock.start(lambda number=number: take(number))  # type: ignore[misc]
    ended = [neutron.clock.take(results) or "" for _ in range(takers)]
    for _ in range(takers):
        go.put(True)
    neutron.clock.sleep(100)
    return sorted(ended)


@pytest.mark.parametrize("seed", range(8))
def test_of_eight_at_once_exactly_one_gets_it(cloud: Connection, neutron: Neutron, seed: int) -> None:
    neutron.dice.seed(seed)
    assert many(cloud, neutron, 8) == ["refused"] * 7 + ["won"]
    assert neutron.most > 1  # several made a network, and agreed on one
    assert (neutron.ports, len(neutron.networks)) == ({}, 0)


def dead(neutron: Neutron, cloud: Connection, holder: str = "launch by ada@elsewhere since 1970") -> None:
    """A lock whose holder was killed, and no other."""
    neutron.ports.clear()
    with lock(cloud, neutron):
        (port,) = neutron.ports.values()
        network = dict(neutron.networks)
    neutron.networks = network
    neutron.ports = {port["id"]: {**port, "description": holder}}


@pytest.mark.parametrize("seed", range(4))
def test_a_dead_ones_lock_is_taken_over_by_exactly_one(cloud: Connection, neutron: Neutron, seed: int) -> None:
    neutron.dice.seed(seed)
    dead(neutron, cloud)
    assert many(cloud, neutron, 2) == ["refused", "refused"]  # he may be alive
    neutron.clock.sleep(LEASE)
    assert many(cloud, neutron, 8) == ["refused"] * 7 + ["won"]


def test_the_others_are_told_who_holds_it_and_since_when(cloud: Connection, neutron: Neutron) -> None:
    with lock(cloud, neutron):
        neutron.clock.sleep(50)
        with pytest.raises(PreflightError) as caught, lock(cloud, neutron, "delete"):
            pass
    assert caught.value.exit_code == 3
    words = r"works on demo-26J: launch by \S+@\S+ since [\d: -]+UTC \(.*\); last heard of (\d+) s ago"
    found = re.search(words, str(caught.value))
    assert found
    assert 45 <= int(found[1]) <= 60
    assert "10 minutes" in str(caught.value.hint)


def test_a_process_of_this_computer_that_is_no_more_holds_nothing(cloud: Connection, neutron: Neutron) -> None:
    with lock(cloud, neutron):
        (port,) = neutron.ports.values()
        ours = port["description"]
    dead(neutron, cloud, ours)
    with pytest.raises(PreflightError), lock(cloud, neutron, "delete"):  # we are alive
        pass
    gone = ours.replace(f"(process {os.getpid()}-", f"(process {2**22 + 1}-")  # more than Linux counts
    dead(neutron, cloud, gone)
    with lock(cloud, neutron):
        assert len(neutron.ports) == 1


def test_a_long_run_keeps_its_lock_and_one_that_lost_it_is_stopped(cloud: Connection, neutron: Neutron) -> None:
    with lock(cloud, neutron) as check:
        neutron.clock.sleep(3 * LEASE)
        with pytest.raises(PreflightError), lock(cloud, neutron):
            pass
        check()
        neutron.ports.clear()  # as one does who takes over
        neutron.clock.sleep(200)
        with pytest.raises(CloudError, match="lock on demo-26J was lost"):
            check()


@pytest.mark.parametrize("trouble", [["lost"], [503, 503], [500], ["lost", 503]])
def test_trouble_on_the_way_is_no_refusal(cloud: Connection, neutron: Neutron, trouble: list[Any]) -> None:
    neutron.trouble = trouble
    with lock(cloud, neutron):
        assert len(neutron.ports) == 1
    assert neutron.ports == {}


def test_a_project_without_room_for_a_network_is_worked_on_without_a_lock(cloud: Connection, neutron: Neutron) -> None:
    neutron.full = True
    said: list[str] = []

    class Loud(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    with hold(cloud, COHORT, "delete", neutron.clock, Loud()) as check:
        check()
    assert "demo-26J is not locked: make sure that nobody else works on it." in said[0]


def test_a_lock_outlives_what_a_cloud_is_out_for() -> None:
    assert locking.RENEWAL + 360 < LEASE
