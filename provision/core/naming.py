"""Every derived name, made and read here alone. OpenStack is the database: these names and tags are its keys.

Course and presentation hold no hyphen: "course-presentation-student" comes apart again, whatever the student's id.
"""

import re
from hashlib import sha256

from provision.errors import InvalidInputError

# Heat: a stack name is [a-zA-Z][a-zA-Z0-9_.-]{0,254}, a tag at most 80 characters without comma; Neutron's tag, 60.
_PORT = re.compile(r"(.+)-port-[a-z0-9]{12}")
STUDENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")
_COURSE = re.compile(r"[a-z][a-z0-9]{0,31}")
_PRESENTATION = re.compile(r"[A-Za-z0-9]{1,16}")

SERVER_NAME_MAX = 53  # Heat's limit for a server; a host name takes 63
_HASH = 8

_COHORT_TAG, _STUDENT_TAG, _PLACE_TAG = "provision=", "student=", "place="
SHARED_TAG = "shared"  # a stack that students' machines share, and that is no student's
POOL_TAG = "pool"  # a machine that was started ahead of need; it keeps the tag when it is a student's
WARM_TAG = "warm"  # one of them that was proved, and is nobody's: it can be claimed
_COHORT_MAX = 60 - len(_COHORT_TAG)
_POOL = re.compile(r"(canary\.)?[a-z0-9]+-[A-Za-z0-9]+\.pool-([1-9][0-9]*)")
_SHARED = re.compile(r"(canary\.)?[a-z0-9]+-[A-Za-z0-9]+\.shared-([1-9][0-9]*)")


def cohort_name(course: str, presentation: str) -> str:
    """The cohort's name, such as tm351-26J. Raises InvalidInputError for names that could not be told apart again."""
    problems = []
    if not _COURSE.fullmatch(course):
        problems.append(f"course {course!r}: must be 1 to 32 small letters and digits, a letter first (such as tm351)")
    if not _PRESENTATION.fullmatch(presentation):
        problems.append(f"presentation {presentation!r}: must be 1 to 16 letters and digits (such as 26J)")
    if problems:
        raise InvalidInputError("The cohort cannot be named.", problems=tuple(problems))
    return f"{course}-{presentation}"


def image_name(course: str, presentation: str) -> str:
    """The name in Glance of the image that a presentation runs on."""
    return cohort_name(course, presentation)


def build_name(course: str, presentation: str, number: int) -> str:
    """How a person names a published build, such as tm351-26J:3."""
    return f"{image_name(course, presentation)}:{number}"


def contents_name(course: str, presentation: str, build: str) -> str:
    """The name in Glance of the hidden image that holds what is in a build."""
    return f"{image_name(course, presentation)} contents of {build}"


def stack_name(cohort: str, student: str) -> str:
    """The name of a student's stack."""
    return f"{cohort}-{student}"


def shared_name(cohort: str, number: int) -> str:
    """The name of a shared stack: no student's stack has it, for a point never follows a presentation there."""
    return f"{cohort}.shared-{number}"


def shared_number(name: str) -> int | None:
    """Which shared stack of its cohort a stack's name means, or None."""
    found = _SHARED.fullmatch(name)
    return int(found[2]) if found else None


def shared_label(number: int) -> str:
    """What a shared stack is called where students are named. With its space it is no student's id."""
    return f"shared {number}"


def labelled_number(label: str) -> int:
    """Which stack a label of `shared_label` or `pool_label` means."""
    return int(label.rpartition(" ")[2])


def pool_name(cohort: str, number: int) -> str:
    """The name of the stack of a pooled machine, which it keeps when it is a student's."""
    return f"{cohort}.pool-{number}"


def pool_number(name: str) -> int | None:
    """Which pooled machine of its cohort a stack's name means, or None."""
    found = _POOL.fullmatch(name)
    return int(found[2]) if found else None


def pool_label(number: int) -> str:
    """What a pooled machine that is nobody's is called where students are named. With its space it is no id."""
    return f"pool {number}"


def pool_server(cohort: str, number: int) -> str:
    """The name of a pooled machine's server: no student's id begins with a hyphen."""
    return server_name(cohort, f"-pool-{number}")


def gateway_name(cohort: str, number: int) -> str:
    """The name of a shared network's gateway machine, fit to be a host name: no student's id begins with a hyphen."""
    return server_name(cohort, f"-gateway-{number}")


def stack_of_port(port: str) -> str:
    """The name of the stack whose resource `port` Heat named so; nothing if it is named in another way."""
    found = _PORT.fullmatch(port)
    return found[1] if found else ""


def server_name(cohort: str, student: str) -> str:
    """The name of a student's server, fit to be a host name: cut, and told apart by a hash, where need be."""
    name = stack_name(cohort, student)
    plain = re.sub(r"[^A-Za-z0-9-]", "-", name)
    if plain == name and len(name) <= SERVER_NAME_MAX and not name.endswith("-"):
        return name
    digest = sha256(name.encode()).hexdigest()[:_HASH]
    return f"{plain[: SERVER_NAME_MAX - _HASH - 1].rstrip('-')}-{digest}"


def snapshot_name(stack: str, name: str) -> str:
    """The name in Glance of a snapshot of a student's machine."""
    return f"{stack} snapshot {name}"


def cohort_tag(cohort: str) -> str:
    """The tag on everything that belongs to a cohort."""
    return f"{_COHORT_TAG}{cohort}"


def is_cohort_tag(tag: str) -> bool:
    """Whether a tag marks what belongs to some cohort."""
    return tag.startswith(_COHORT_TAG)


def canary_cohort(cohort: str) -> str:
    """The cohort of its own in which a preflight tries out a machine: what is left of it is in no student's way.

    Cut where a cohort's name is very long, so that its tag fits.
    """
    return f"canary.{cohort}"[:_COHORT_MAX]


def student_tag(student: str) -> str:
    """The tag that says whose stack it is."""
    return f"{_STUDENT_TAG}{student}"


def place_tag(stack: str) -> str:
    """The tag on a student's stack that says which shared stack, by its id, it uses."""
    return f"{_PLACE_TAG}{stack}"


def place_of(tags: list[str]) -> str:
    """The id of the shared stack that a student's stack uses; nothing if it has a network of its own."""
    return next((tag.removeprefix(_PLACE_TAG) for tag in tags if tag.startswith(_PLACE_TAG)), "")


def student_of(tags: list[str]) -> str | None:
    """The student whom a stack's tags name, or None."""
    found = [tag.removeprefix(_STUDENT_TAG) for tag in tags if tag.startswith(_STUDENT_TAG)]
    return found[0] if len(found) == 1 else None
