"""What a cloud's own words mean, and what to do about them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """A known cause. `capacity` says that there is no room, rather than that something is wrong."""

    meaning: str
    hint: str
    capacity: bool = True


_KNOWN: tuple[tuple[str, Diagnosis], ...] = (
    (
        r"no valid host was found",
        Diagnosis(
            "No compute node has room for this flavor, or none offers what it asks for.",
            "Take a smaller flavor (--flavor), delete machines that nobody uses, or ask the cloud's operator for room.",
        ),
    ),
    (
        r"exceeded maximum number of retries|exhausted all hosts",
        Diagnosis(
            "Every compute node that tried to start the machine failed; most often the image does not fit the flavor's "
            "disk or cannot be read.",
            "Compare the image's min_disk and virtual size with the flavor's disk; then ask the operator for the "
            "compute node's log.",
        ),
    ),
    (
        r"flavor'?s disk is too small|flavordisksmaller|minimum image disk size|disk .{0,40}smaller than the minimum",
        Diagnosis("The flavor's disk is smaller than the image.", "Take a flavor with a larger disk (--flavor)."),
    ),
    (
        r"flavor'?s memory is too small|flavormemorytoosmall|ram .{0,40}smaller than the minimum",
        Diagnosis("The flavor's memory is smaller than the image asks for.", "Take a larger flavor (--flavor)."),
    ),
    (
        r"no more ip addresses|ipaddressgeneration|externalipaddressexhausted",
        Diagnosis(
            "The external network has no free address left. Each floating IP takes one, and each router another.",
            "Release floating IPs that nobody uses, or ask the operator for a larger pool.",
        ),
    ),
    (
        r"storage media is full|no space left|insufficient storage|not enough (disk )?space",
        Diagnosis(
            "The store that the cloud keeps its images in is full.",
            "Delete images that nobody uses, or ask the operator for room.",
        ),
    ),
    (
        r"quota|overlimit|maximum number of \w+ exceeded|maximum stacks per tenant|limit.{0,20}exceeded",
        Diagnosis(
            "A quota of the project is used up.",
            "Delete what nobody uses, or ask the operator to raise the quota that the message names.",
        ),
    ),
)


def explain(words: str) -> Diagnosis | None:
    """The cause that `words` (an error body, a stack's reason) point to, if it is one that we know."""
    return next((known for pattern, known in _KNOWN if re.search(pattern, words, re.IGNORECASE)), None)
