"""What is asked of a cloud before the first create: flavor, network, quota, and everything that is wrong at once."""

from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.compute import Size, choose_flavor
from provision.cloud.network import choose_external_network, observe_leftovers
from provision.core.course_file import parse_course
from provision.core.shape import PRIVATE, Shape
from provision.errors import InvalidInputError, NotFoundError, PreflightError, ProvisionError
from provision.workflows.preflight import Ground, check_ground

from .conftest import GLANCE, HEAT, NEUTRON, NOVA

COURSE = parse_course(
    """
[course]
name = "demo"
title = "Demo"
[box]
file = "demo.box"
[machine]
vcpus = 1
memory_mb = 1024
disk_gb = 5
[user]
name = "student"
group = "student"
[public]
tls = "none"
""",
    "course.toml",
)


def flavor(name: str, vcpus: int, ram: int, disk: int) -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "vcpus": vcpus, "ram": ram, "disk": disk, "links": []}


FLAVORS = [
    flavor("m1.medium", 2, 2048, 40),
    flavor("m1.tiny", 1, 512, 5),
    flavor("m1.diskless", 1, 1024, 0),
    flavor("m1.small", 1, 1024, 20),
]
NETWORKS = [{"id": "net1", "name": "public", "router:external": True}]
IMAGE = {
    "id": "image1",
    "name": "demo-26J",
    "status": "active",
    "min_disk": 8,
    "min_ram": 512,
    "virtual_size": None,
    "created_at": "2026-11-21T10:00:00Z",
    "provision_course": "demo",
    "provision_presentation": "26J",
    "provision_build": "build1",
    "provision_number": "1",
    "provision_promoted": "2026-11-21T11:00:00.000000Z",
}
NOVA_USED = {"maxTotalInstances": 10, "totalInstancesUsed": 9, "maxTotalCores": 20, "totalCoresUsed": 2,
             "maxTotalRAMSize": 51200, "totalRAMUsed": 1024}  # fmt: skip
NEUTRON_KEYS = ("network", "subnet", "router", "port", "security_group", "security_group_rule", "floatingip")


def cloud_has(
    http: rm.Mocker,
    *,
    images: list[Any] | None = None,
    networks: list[Any] = NETWORKS,
    routers: int = 10,
    addresses: tuple[int, int] | None = None,
) -> None:
    http.get(f"{GLANCE}/v2/images", json={"images": [IMAGE] if images is None else images})
    http.get(f"{GLANCE}/v2/images/image1", json=IMAGE)
    http.get(f"{NOVA}/flavors/detail", json={"flavors": FLAVORS})
    http.get(f"{NOVA}/limits", json={"limits": {"absolute": NOVA_USED, "rate": []}})
    http.get(f"{NEUTRON}/v2.0/networks", json={"networks": networks})
    limits = {key: {"limit": 100, "used": 1, "reserved": 0} for key in NEUTRON_KEYS}
    limits["router"] = {"limit": routers, "used": 8, "reserved": 1}
    http.get(f"{NEUTRON}/v2.0/quotas/project1/details", json={"quota": limits})
    http.get(f"{NEUTRON}/v2.0/network-ip-availabilities/net1", **counted(addresses))
    http.get(f"{HEAT}/stacks", json={"stacks": []})


def counted(addresses: tuple[int, int] | None) -> dict[str, Any]:
    """What Neutron says to an operator of all addresses and the used ones, and to everybody else."""
    if addresses is None:
        error = {"type": "HTTPNotFound", "message": "The resource could not be found.", "detail": ""}
        return {"status_code": 404, "json": {"NeutronError": error}}
    total, used = addresses
    subnets = [
        {"ip_version": 4, "total_ips": total, "used_ips": used, "cidr": "172.24.4.0/24"},
        {"ip_version": 6, "total_ips": 2**64, "used_ips": 1, "cidr": "2001:db8::/64"},
    ]
    return {"json": {"network_ip_availability": {"subnet_ip_availability": subnets}}}


def check(
    cloud: Connection,
    *,
    image: str | None = None,
    flavor: str | None = None,
    network: str | None = None,
    machines: int = 1,
    shared: int = 0,
    shape: Shape = PRIVATE,
) -> Ground:
    how = {"image": image, "flavor": flavor, "network": network, "machines": machines, "shared": shared, "shape": shape}
    return check_ground(cloud, COURSE, "26J", **how)  # type: ignore[arg-type]  # as many kinds


def test_a_cloud_that_has_all(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http)
    ground = check(cloud)
    assert (ground.image.id, ground.flavor.name, ground.network_id, ground.network) == (
        "image1",
        "m1.small",
        "net1",
        "public",
    )


@pytest.mark.parametrize("image", ["demo-26J", "demo-26J:1", "build1", "image1"])
def test_another_build_can_be_named(cloud: Connection, http: rm.Mocker, image: str) -> None:
    newer = {**IMAGE, "id": "image2", "created_at": "2026-11-22T10:00:00Z", "provision_number": "2"}
    newer |= {"provision_build": "build2", "provision_promoted": ""}
    cloud_has(http, images=[newer, IMAGE])
    assert check(cloud, image=image).image.id == "image1"


def test_nothing_new_asks_for_no_quota(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, routers=0)
    assert check(cloud, machines=0).flavor.name == "m1.small"


@pytest.mark.parametrize(
    ("there", "asked", "kind", "words"),
    [
        ({"images": []}, {}, NotFoundError, ["no usable image 'demo-26J'"]),
        ({"images": [{**IMAGE, "provision_promoted": ""}]}, {}, NotFoundError, ["has 1 builds, and none is current"]),
        ({"images": []}, {"image": "demo-26J:4"}, NotFoundError, ["no usable image 'demo-26J:4'"]),
        ({}, {"flavor": "m9"}, NotFoundError, ["no flavor 'm9'", "m1.small (1 vCPU, 1024 MiB, 20 GiB)"]),
        (
            {},
            {"flavor": "m1.tiny"},
            PreflightError,
            ["m1.tiny (1 vCPU, 512 MiB, 5 GiB) is too small", "min_disk 8 GiB"],
        ),
        (
            {"images": [{**IMAGE, "virtual_size": 64 * 2**30}]},
            {},
            NotFoundError,
            ["No flavor has 1 vCPU", "64 GiB of disk"],
        ),
        ({"networks": []}, {}, NotFoundError, ["no external network"]),
        (
            {},
            {"machines": 2},
            PreflightError,
            ["instances: 2 needed, 1 free (9 of 10 used)", "routers: 2 needed, 1 free"],
        ),
        # A floating IP and a router each: four addresses for two machines, of which Neutron tells who may ask.
        (
            {"addresses": (254, 253)},
            {},
            PreflightError,
            ["room for 1 more machine:", "public addresses: 2 needed, 1 free"],
        ),
        (
            {"routers": 9},
            {"machines": 1, "shared": 2, "shape": Shape("shared")},
            PreflightError,
            [
                "room for 1 more machine and 2 shared networks:",
                "routers: 2 needed, 0 free",
                "security group rules: 150",
            ],
        ),
        (
            {},
            {"machines": 1, "shared": 1, "shape": Shape("shared", floating_ip=False)},
            PreflightError,
            ["instances: 2 needed, 1 free"],  # the gateway is one
        ),
        (
            {"images": [], "networks": []},
            {"flavor": "m9"},
            PreflightError,
            ["no usable image", "no flavor 'm9'", "no external network", "Try: Publish one"],
        ),
    ],
)
def test_what_is_wrong_is_said_together(
    cloud: Connection,
    http: rm.Mocker,
    there: dict[str, Any],
    asked: dict[str, Any],
    kind: type[ProvisionError],
    words: list[str],
) -> None:
    cloud_has(http, **there)
    with pytest.raises(kind) as caught:
        check(cloud, **asked)
    assert type(caught.value) is kind
    assert [each for each in words if each not in caught.value.message] == []


@pytest.mark.parametrize(
    ("name", "size", "chosen"),
    [
        (None, Size(1, 512, 5), "m1.tiny"),
        (None, Size(1, 512, 6), "m1.small"),
        (None, Size(2, 1, 1), "m1.medium"),
        ("m1.medium", Size(1, 1, 1), "m1.medium"),
        ("id-m1.tiny", Size(1, 1, 1), "m1.tiny"),
        ("m1.diskless", Size(1, 1024, 99), "m1.diskless"),
    ],
)
def test_the_smallest_flavor_that_fits(
    cloud: Connection, http: rm.Mocker, name: str | None, size: Size, chosen: str
) -> None:
    cloud_has(http)
    assert choose_flavor(cloud, name, size).name == chosen


def test_several_external_networks_must_be_named(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, networks=[*NETWORKS, {"id": "net2", "name": "campus", "router:external": True}])
    with pytest.raises(InvalidInputError, match="several external networks: campus, public"):
        choose_external_network(cloud, None)
    assert choose_external_network(cloud, "campus") == ("net2", "campus")
    assert choose_external_network(cloud, "net1") == ("net1", "public")
    with pytest.raises(NotFoundError, match=r"no external network 'x'.*External networks: campus, public"):
        choose_external_network(cloud, "x")


def test_what_is_left_of_a_cohort_is_named(cloud: Connection, http: rm.Mocker) -> None:
    tag = "provision=demo-26J"
    servers = [
        {"id": "s1", "name": "demo-26J-a", "metadata": {"provision": tag}},
        {"id": "s2", "name": "other", "metadata": {"provision": "provision=other-26J"}},
    ]
    http.get(f"{NOVA}/servers/detail", json={"servers": servers})
    kinds = ("ports", "routers", "networks", "subnets", "security-groups", "floatingips")
    for kind in kinds:
        http.get(f"{NEUTRON}/v2.0/{kind}", json={kind.replace("-", "_"): []})
    http.get(f"{NEUTRON}/v2.0/routers?tags={tag}", json={"routers": [{"id": "r1", "name": "router-a"}]})
    http.get(
        f"{NEUTRON}/v2.0/floatingips?description={tag}",
        json={"floatingips": [{"id": "f1", "floating_ip_address": "172.24.4.9"}]},
    )
    assert observe_leftovers(cloud, tag) == ("server demo-26J-a", "router router-a", "floating IP 172.24.4.9")
    asked = [call.url for call in http.request_history if "/v2.0/" in call.url]
    assert all("tags=provision%3Ddemo-26J" in url or "description=provision%3Ddemo-26J" in url for url in asked)
