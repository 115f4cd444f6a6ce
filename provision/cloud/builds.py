"""The builds of courses among Glance's images: their properties are all that is known of them."""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from provision.cloud.images import IMAGE_ID, find_image, list_images
from provision.core.builds import Leftover, Published, current, matching, numbered, promotion
from provision.core.images import Image
from provision.core.naming import image_name
from provision.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

TAG = "provision"  # on every image of ours: Glance finds them by it
COURSE, PRESENTATION, BUILD = "provision_course", "provision_presentation", "provision_build"
NUMBER, PROMOTION = "provision_number", "provision_promoted"
VERIFIED, FORCED = "provision_verified", "provision_forced"
TOOLKIT, SHA256, SOURCE = "provision_toolkit", "provision_sha256", "provision_source_sha256"
CONTENTS, CONTENTS_SHA256 = "provision_contents", "provision_contents_sha256"

_WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,100}")
_NUMBER = re.compile(r"[0-9]{1,6}")


def observe_builds(
    connection: "Connection", course: str | None = None, presentation: str | None = None, **query: Any
) -> tuple[Published, ...]:
    """The builds that the project sees, of that course and presentation if they are given; by name, then number.

    Those that other projects share are among them once they are accepted; what any project offers to the community
    is not, for whoever likes can give an image our name.
    """
    images = list_images(connection, "Looking for builds", tag=TAG, **query)
    found = [build for image in images if (build := as_build(image))]
    wanted = [build for build in found if course in (None, build.course) and presentation in (None, build.presentation)]
    return tuple(build for _, group in _presentations(wanted) for build in numbered(group))


def _presentations(builds: Iterable[Published]) -> Iterable[tuple[Any, Iterable[Published]]]:
    def presentation(build: Published) -> tuple[str, str]:
        return build.course, build.presentation

    return groupby(sorted(builds, key=presentation), key=presentation)


def find_build(connection: "Connection", reference: str) -> Published:
    """The one build that `reference` names (see `matching`; also the id of an image that no list shows).

    Raises NotFoundError if there is none, InvalidInputError if there are several.
    """
    found = matching(observe_builds(connection), reference)
    if not found and IMAGE_ID.fullmatch(reference):
        build = as_build(find_image(connection, reference))
        found = (build,) if build else ()
    if not found:
        raise NotFoundError(
            f"There is no build {reference!r} on this cloud.",
            hint="See which there are: provision image list. Name one by its image's id, its own, or as tm351-26J:3.",
        )
    if len(found) > 1:
        each = ", ".join(f"{build.name} ({build.id})" for build in found)
        raise InvalidInputError(
            f"{reference!r} is the name of {len(found)} images: {each}.", hint="Give an image's id."
        )
    return found[0]


def find_current(connection: "Connection", course: str, presentation: str) -> Image:
    """The image of the presentation's current build. Raises NotFoundError, which tells what is there instead."""
    name = image_name(course, presentation)
    images = list_images(connection, f"Looking for the builds of {name}", tag=TAG, name=name)
    builds = [build for image in images if (build := as_build(image))]
    if now := current(builds):
        return next(image for image in images if image.id == now.id)
    if builds:
        raise NotFoundError(
            f"Of {name} this cloud has {len(builds)} builds, and none is current.",
            hint=f"Make one current: provision image promote {numbered(builds)[-1].name}.",
        )
    raise NotFoundError(
        f"There is no usable image {name!r} on this cloud.",
        hint=f"Publish one: provision image publish {course} {presentation}. Or name another: --image.",
    )


def observe_leftovers(connection: "Connection", course: str, presentation: str | None) -> tuple[Leftover, ...]:
    """The project's own images of a course that are no builds: half ones, and those that hold contents."""
    own = connection.current_project_id
    images = [
        image
        for hidden in (False, True)
        for image in list_images(connection, "Looking for what is left", tag=TAG, owner=own, is_hidden=hidden)
    ]
    return tuple(
        Leftover(image.id, image.name, image.created)
        for image in images
        if image.properties.get(COURSE) == course
        and presentation in (None, image.properties.get(PRESENTATION))
        and image.name != f"{course}-{image.properties.get(PRESENTATION)}"  # a build, be it deactivated
        and not image.protected
    )


def as_build(image: Image) -> Published | None:
    """What an image's properties tell; None unless it is a whole build. Another project may have written them."""
    words = {key: text for key, value in image.properties.items() if _WORD.fullmatch(text := str(value))}
    course, presentation, number = words.get(COURSE, ""), words.get(PRESENTATION, ""), words.get(NUMBER, "")
    if image.status != "active" or not _NUMBER.fullmatch(number) or image.name != f"{course}-{presentation}":
        return None
    return Published(
        id=image.id,
        course=course,
        presentation=presentation,
        build=words.get(BUILD, ""),
        number=int(number),
        created=image.created,
        promoted=promotion(words.get(PROMOTION, "")),
        verified=words.get(VERIFIED, ""),
        forced=words.get(FORCED) == "true",
        size=image.size or 0,
        min_disk=image.smallest_disk,
        min_ram=image.min_ram,
        visibility=image.visibility,
        owner=image.owner,
        protected=image.protected,
        toolkit=words.get(TOOLKIT, ""),
        sha256=words.get(SHA256, ""),
        source_sha256=words.get(SOURCE, ""),
        contents=words.get(CONTENTS, ""),
        contents_sha256=words.get(CONTENTS_SHA256, ""),
    )
