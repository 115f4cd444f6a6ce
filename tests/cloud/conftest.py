"""A cloud at HTTP level: what a real Keystone, Heat, Nova, Neutron and Glance answer, told by requests-mock."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.connection import connect

if TYPE_CHECKING:
    from .glance import Glance

KEYSTONE = "http://cloud.example/identity/v3"
HEAT = "http://cloud.example/heat/v1/project1"
NOVA = "http://cloud.example/nova/v2.1"
NEUTRON = "http://cloud.example/neutron"
GLANCE = "http://cloud.example/glance"

CLOUDS = f"""
clouds:
  campus:
    auth: {{auth_url: '{KEYSTONE}', username: faculty, password: secret, project_name: faculty,
           user_domain_name: Default, project_domain_name: Default}}
    region_name: one
  unscoped:
    auth: {{auth_url: '{KEYSTONE}', username: faculty, password: secret, user_domain_name: Default}}
    region_name: one
  incomplete:
    auth: {{username: faculty}}
"""


def version(status: str, number: str, url: str, **more: str) -> dict[str, Any]:
    return {"status": status, "id": number, "links": [{"rel": "self", "href": url}], **more}


def token(*, project: bool = True) -> dict[str, Any]:
    services = {
        "orchestration": HEAT,
        "compute": NOVA,
        "network": NEUTRON,
        "image": GLANCE,
        "identity": KEYSTONE,
    }
    catalog = [
        {
            "type": kind,
            "name": kind,
            "id": kind,
            "endpoints": [{"interface": "public", "region": "one", "region_id": "one", "url": url, "id": kind}],
        }
        for kind, url in services.items()
    ]
    body: dict[str, Any] = {
        "methods": ["password"],
        "user": {"id": "user1", "name": "faculty", "domain": {"id": "default", "name": "Default"}},
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "issued_at": "2026-11-22T00:00:00.000000Z",
        "audit_ids": ["a"],
        "catalog": catalog,
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "heat_stack_owner"}],
    }
    if project:
        body["project"] = {"id": "project1", "name": "faculty", "domain": {"id": "default", "name": "Default"}}
    return {"token": body}


@pytest.fixture
def http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[rm.Mocker]:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(CLOUDS)
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    monkeypatch.setenv("PROVISION_LAB_HOME", str(tmp_path / "lab"))
    with rm.Mocker() as mocker:
        mocker.get(KEYSTONE, json={"version": version("stable", "v3.14", KEYSTONE)})
        mocker.post(f"{KEYSTONE}/auth/tokens", json=token(), headers={"X-Subject-Token": "t1"}, status_code=201)
        root = "http://cloud.example/heat"
        mocker.get(f"{root}/", json={"versions": [version("CURRENT", "v1.0", f"{root}/v1/")]}, status_code=300)
        mocker.get(HEAT, status_code=404)
        nova = version("CURRENT", "v2.1", NOVA, version="2.93", min_version="2.1")
        mocker.get(NOVA, json={"version": nova})
        mocker.get(f"{NOVA}/", json={"version": nova})
        mocker.get(f"{NEUTRON}/", json={"versions": [version("CURRENT", "v2.0", f"{NEUTRON}/v2.0/")]})
        mocker.get(NEUTRON, json={"versions": [version("CURRENT", "v2.0", f"{NEUTRON}/v2.0/")]})
        mocker.get(f"{GLANCE}/", json={"versions": [version("CURRENT", "v2.15", f"{GLANCE}/v2/")]}, status_code=300)
        mocker.get(GLANCE, json={"versions": [version("CURRENT", "v2.15", f"{GLANCE}/v2/")]}, status_code=300)
        yield mocker


def lock_is_free(http: rm.Mocker) -> None:
    """The network of the locks is there, and whoever takes one gets it: test_locks.py tries the rest."""
    network = {"id": "locks", "created_at": "2026-11-22T00:00:00Z", "subnets": ["s"]}
    http.get(f"{NEUTRON}/v2.0/networks?name=provision-locks", json={"networks": [network]})
    http.post(f"{NEUTRON}/v2.0/ports", status_code=201, json={"port": {"id": "lock"}})
    http.put(f"{NEUTRON}/v2.0/ports/lock", json={"port": {}})
    http.delete(f"{NEUTRON}/v2.0/ports/lock", status_code=204)
    http.delete(f"{NEUTRON}/v2.0/networks/locks", status_code=204)


@pytest.fixture
def cloud(http: rm.Mocker) -> Connection:
    return connect("campus")


@pytest.fixture
def glance() -> Iterator["Glance"]:
    """A Glance on a real socket, which answers with the shapes above."""
    from .glance import glance_on_a_socket

    with glance_on_a_socket() as service:
        yield service


@pytest.fixture
def there(glance: "Glance", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection to it."""
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(CLOUDS.replace(KEYSTONE, f"{glance.url}/v3"))
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return connect("campus")
