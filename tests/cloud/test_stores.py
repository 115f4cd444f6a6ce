"""What a cloud says of its image service, to an operator and to others; old clouds say less."""

import re
from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.stores import observe_offer
from provision.core.delivery import Offer
from provision.errors import AuthenticationError, CloudError

from .conftest import GLANCE

DIRECT = {"import-methods": {"type": "array", "value": ["glance-direct", "web-download"]}}
FORMATS = {"properties": {"os_hash_algo": {}, "disk_format": {"enum": [None, "raw", "qcow2"]}}}
TWO = [{"id": "fast", "default": "true"}, {"id": "slow"}]
ON_CEPH = {"direct_url": "rbd://fsid/images/i/snap", "stores": "fast"}


def service(http: rm.Mocker, **answers: Any) -> None:
    """What each path answers; the others say 404."""
    http.get(re.compile(f"{GLANCE}/v2/"), status_code=404)
    for name, answer in answers.items():
        path = name.replace("_", "/")
        forbidden = {"status_code": answer, "text": "<html>no</html>"}
        http.get(f"{GLANCE}/v2/{path}", **(forbidden if isinstance(answer, int) else {"json": answer}))


@pytest.mark.parametrize(
    ("detail", "stores", "images", "kind", "evidence"),
    [
        ({"stores": [{**TWO[1], "type": "file"}, {**TWO[0], "type": "rbd"}]}, 404, [], "rbd", "it says so"),
        (403, {"stores": TWO}, [ON_CEPH], "rbd", "an image's address there says so"),
        (
            403,
            {"stores": TWO},
            [{**ON_CEPH, "stores": "slow,other"}, ON_CEPH],
            "rbd",
            "an image's address there says so",
        ),
        (403, {"stores": TWO}, [{**ON_CEPH, "stores": "slow"}], None, ""),
        (404, 404, [{"id": "old"}, {"direct_url": "swift+https://x/y"}], "swift", "an image's address there says so"),
        (404, 404, [{"direct_url": "https://example.org/image"}], None, ""),
        (403, {"stores": [{"id": "Ceph-SSD", "default": True}]}, [], "rbd", "its name says so"),
        (403, {"stores": [{**TWO[0], "description": "our RBD pool"}]}, [], "rbd", "its name says so"),
        (403, {"stores": TWO}, 403, None, ""),
        (404, 404, [], None, ""),
    ],
)
def test_the_store(
    cloud: Connection, http: rm.Mocker, detail: Any, stores: Any, images: Any, kind: str | None, evidence: str
) -> None:
    service(http, info_stores_detail=detail, info_stores=stores)
    http.get(f"{GLANCE}/v2/images", **({"status_code": 403} if images == 403 else {"json": {"images": images}}))
    found = observe_offer(cloud)
    assert (found.store, found.evidence) == (kind, evidence)


@pytest.mark.parametrize(
    ("schema", "methods", "offer"),
    [
        (FORMATS, DIRECT, Offer(formats=frozenset({"raw", "qcow2"}), imports=True, sum_name="sha512")),
        (FORMATS, {"import-methods": {"value": ["web-download"]}}, Offer(formats=frozenset({"raw", "qcow2"}))),
        ({"properties": {"disk_format": {"type": "string"}}}, 404, Offer(sum_name="md5")),
        (404, 404, Offer(sum_name="md5")),
        ([], [], Offer(sum_name="md5")),
    ],
)
def test_formats_and_imports(cloud: Connection, http: rm.Mocker, schema: Any, methods: Any, offer: Offer) -> None:
    service(http, schemas_image=schema, info_import=methods)
    assert observe_offer(cloud) == offer


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (500, CloudError)])
def test_a_cloud_in_trouble(cloud: Connection, http: rm.Mocker, status: int, kind: type[CloudError]) -> None:
    service(http, schemas_image=status)
    with pytest.raises(kind, match="Asking what the image service takes"):
        observe_offer(cloud)
