"""What a cloud's own words mean, and what to do about them; with the numbers, where they are known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from provision.core.capacity import Quota
from provision.core.findings import quota_request
from provision.core.flavors import Flavor, describe
from provision.core.images import Image, misfits


@dataclass(frozen=True)
class Diagnosis:
    """A known cause. `capacity` says that there is no room, rather than that something is wrong."""

    meaning: str
    hint: str
    capacity: bool = True


_NO_HOST = Diagnosis(
    "No compute node has room for this flavor, or none offers what it asks for.",
    "Take a smaller flavor (--flavor), delete machines that nobody uses, or ask the cloud's operator for room.",
)
_NO_MORE_TRIES = Diagnosis(
    "Every compute node that tried to start the machine failed; most often the image does not fit the flavor's "
    "disk or cannot be read.",
    "Compare the image's min_disk and virtual size with the flavor's disk; then ask the operator for the "
    "compute node's log.",
)
_SMALL_DISK = Diagnosis("The flavor's disk is smaller than the image.", "Take a flavor with a larger disk (--flavor).")
_SMALL_MEMORY = Diagnosis("The flavor's memory is smaller than the image asks for.", "Take a larger flavor (--flavor).")
_QUOTA = Diagnosis(
    "A quota of the project is used up.",
    "Delete what nobody uses, or ask the operator to raise the quota that the message names.",
)

_KNOWN: tuple[tuple[str, Diagnosis], ...] = (
    (r"no valid host was found", _NO_HOST),
    (r"exceeded maximum number of retries|exhausted all hosts", _NO_MORE_TRIES),
    (
        r"flavor'?s disk is too small|flavordisksmaller|minimum image disk size|disk .{0,40}smaller than the minimum",
        _SMALL_DISK,
    ),
    (r"flavor'?s memory is too small|flavormemorytoosmall|ram .{0,40}smaller than the minimum", _SMALL_MEMORY),
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
    (r"quota|overlimit|maximum number of \w+ exceeded|maximum stacks per tenant|limit.{0,20}exceeded", _QUOTA),
)
_SIZES = (_NO_HOST, _NO_MORE_TRIES, _SMALL_DISK, _SMALL_MEMORY)
_FITTING = {  # what remains where the image is known to fit the flavor
    _NO_HOST: _NO_HOST,
    _NO_MORE_TRIES: Diagnosis(
        "Every compute node that tried to start the machine failed.",
        "Ask the operator for the compute node's log: the image cannot be read there, or the node itself is broken.",
    ),
}


@dataclass(frozen=True)
class Facts:
    """What is known of what was asked for. `quotas` are as they were before, `needed` what was to be made then."""

    flavor: Flavor | None = None
    image: Image | None = None
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    needed: Mapping[str, int] = field(default_factory=dict)
    project: str = ""


NOTHING = Facts()


def explain(words: str, facts: Facts = NOTHING) -> Diagnosis | None:
    """The cause that `words` (an error body, a stack's reason) point to, if it is one that we know."""
    known = next((known for pattern, known in _KNOWN if re.search(pattern, words, re.IGNORECASE)), None)
    if known is None:
        return None
    if known in _SIZES:
        return _compared(known, facts)
    return _limited(known, words, facts) if known is _QUOTA else known


def _compared(known: Diagnosis, facts: Facts) -> Diagnosis:
    """Why no node takes the machine, as far as flavor and image tell."""
    if facts.flavor is None or facts.image is None:
        return known
    if small := misfits(facts.image, facts.flavor):
        meaning = f"The image does not fit the flavor {facts.flavor.name}: {'; '.join(small)}."
        return replace(known, meaning=meaning, hint="Take a larger flavor (--flavor), or make the image smaller.")
    if known not in _FITTING or facts.image.virtual_size is None:
        return known
    fits = f"That is not the image ({facts.image}): it fits the flavor {describe(facts.flavor)}."
    other = _FITTING[known]
    return replace(other, meaning=f"{other.meaning} {fits}")


def _limited(known: Diagnosis, words: str, facts: Facts) -> Diagnosis:
    """Which quotas are used up, and what to ask for."""
    said = {name for found in re.findall(_FOR, words, re.IGNORECASE) for name in re.findall(r"\w+", found)}
    full = {name: facts.quotas[name] for word, name in _RESOURCES.items() if word in said and name in facts.quotas}
    if not full:
        return known
    told = "; ".join(f"{name}: {each.used} of {each.limit} were used before" for name, each in full.items())
    wanted = {name: max(each.used + facts.needed.get(name, 1), each.limit + 1) for name, each in full.items()}
    asked = [quota_request(name, limit, facts.project) for name, limit in wanted.items()]
    return replace(known, meaning=f"{known.meaning} {told}.", hint=" ".join(["Delete what nobody uses.", *asked]))


_FOR = r"exceeded for (?:resources: )?([\w, '\[\]]+)"
# Nova's and Neutron's words for the resources of core/capacity.py.
_RESOURCES = {
    "instances": "instances",
    "cores": "vCPUs",
    "ram": "RAM (MiB)",
    "network": "networks",
    "subnet": "subnets",
    "router": "routers",
    "port": "ports",
    "security_group": "security groups",
    "security_group_rule": "security group rules",
    "floatingip": "floating IPs",
}
