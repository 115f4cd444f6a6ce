"""Glance's API, as far as it is called: images found, shown and shared."""

from .state import Cloud, Thing
from .wire import Answer, Request, refusal, version

_KEYS = ("name", "owner", "status", "provision_snapshot_of")


def answer(cloud: Cloud, request: Request) -> Answer:
    """Images that whoever asks may see: another project's where it was offered, in lists where it was accepted."""
    if request.path in ("", "/"):
        return Answer(300, {"versions": [version("CURRENT", "v2.15", f"{request.url}/glance/v2/")]})
    name, *rest = request.path.removeprefix("/v2/images").strip("/").split("/")
    if not name:
        return _index(cloud, request)
    found = cloud.images.get(name)
    if found is None or not _offered(cloud, found):
        return refusal("glance", 404, f"No image found with ID {name}")
    if rest:
        return _members(cloud, request, found, rest[1:])
    if request.method == "DELETE":
        return _delete(cloud, found)
    if request.method == "PATCH":
        found |= {change["path"].removeprefix("/"): change["value"] for change in request.body}
    return Answer(200, found)


def _index(cloud: Cloud, request: Request) -> Answer:
    asked = {key: value for key, value in request.query.items() if key in _KEYS}
    shown = [
        dict(each)
        for each in cloud.images.values()
        if request.query.get("tag") in (None, *each["tags"]) and asked.items() <= each.items()
        if cloud.acting == each["owner"] or cloud.members.get((each["id"], cloud.acting)) == "accepted"
    ]
    for each in cloud.images.values():
        each["status"] = {"queued": "saving", "saving": "active"}.get(each["status"], each["status"])
    return Answer(200, {"images": shown, "first": "/v2/images", "schema": "/v2/schemas/images"})


def _delete(cloud: Cloud, image: Thing) -> Answer:
    if image["owner"] != cloud.acting:
        return refusal("glance", 403, f"You are not permitted to delete image {image['id']}.")
    del cloud.images[image["id"]]
    return Answer(204)


def _offered(cloud: Cloud, image: Thing) -> bool:
    return image["owner"] == cloud.acting or (image["id"], cloud.acting) in cloud.members


def _members(cloud: Cloud, request: Request, image: Thing, rest: list[str]) -> Answer:
    """A project's membership: the image's owner makes and ends it, the project itself accepts."""
    member = rest[0] if rest else request.body["member"]
    key = (image["id"], member)
    if request.method == "POST":
        if image["owner"] != cloud.acting or image["visibility"] != "shared":
            return refusal("glance", 403, "Only shared images have members.")
        if key in cloud.members:
            return refusal("glance", 409, f"Image member {member} already exists for image {image['id']}.")
        cloud.members[key] = "pending"
    elif key not in cloud.members:
        return refusal("glance", 404, f"{member} not found in the member list of the image {image['id']}.")
    elif request.method == "PUT":
        if member != cloud.acting:
            return refusal("glance", 403, "Permission denied")
        cloud.members[key] = request.body["status"]
    elif request.method == "DELETE":
        del cloud.members[key]
        return Answer(204)
    return Answer(200, {"image_id": image["id"], "member_id": member, "status": cloud.members[key]})
