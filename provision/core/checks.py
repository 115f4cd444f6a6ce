"""The rules of a preflight for who asks and what machines are made from: facts in, findings out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from provision.core.capacity import Quota
from provision.core.findings import OK, REFUSAL, WARNING, Finding, quota_request, unknown
from provision.core.flavors import Flavor, Size, describe, new_flavor, smallest
from provision.core.images import Image, misfits
from provision.core.shape import Shape

STACK_LIMIT = 512  # Heat's default for a project; it cannot be asked for
HA_ROUTERS = 254  # what Neutron has numbers for in a project, where its routers are highly available by keepalived
SKEW = 60.0  # seconds


@dataclass(frozen=True)
class Probe:
    """What came of asking Heat for a stack that holds nothing. `refused` is empty if it was made."""

    refused: str = ""
    hint: str = ""


def credential(user: str, project: str, roles: Iterable[str], kind: str, probe: Probe | None) -> Finding:
    """Whether Heat makes stacks for this credential; `probe` is None where nothing may be made to find out."""
    who = f"{user} in project {project} ({', '.join(roles)}), by {kind}"
    if probe is None and kind == "password":
        return Finding("credential", OK, f"{who}.")
    if probe is None:
        meaning = f"{who}: Heat needs a trust from it, which many clouds refuse to what is no password. Not tried."
        return Finding("credential", WARNING, meaning, "Try it with: provision cohort preflight COHORT")
    if not probe.refused:
        return Finding("credential", OK, f"{who}. Heat made a stack for it, and deleted it again.")
    if kind == "password":
        return Finding("credential", REFUSAL, f"{who}: Heat makes no stack. {probe.refused}", probe.hint)
    return Finding(
        "credential",
        REFUSAL,
        f"{who}: Heat makes no stack with it, as it needs a Keystone trust for each, and Keystone gives none to what is"
        f" itself delegated. Trying again does not help. {probe.refused}",
        f"Ask the operator for a service user with a password and the roles {', '.join(roles)} in project {project},"
        " and write its username and password into clouds.yaml; or for Keystone's option that lets application"
        " credentials make trusts.",
    )


def clock(skew: float | None) -> Finding:
    """Whether this computer's clock agrees with the cloud's; `skew` is in seconds, more than 0 where it is ahead."""
    if skew is None:
        return unknown("clock", "the cloud's answers bear no date.")
    words = f"This computer's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the cloud's."
    if abs(skew) <= SKEW:
        return Finding("clock", OK, words)
    return Finding(
        "clock",
        WARNING,
        f"{words} Tokens end too early or are used when they have ended, and new certificates seem not valid yet.",
        "timedatectl set-ntp true    (if this computer is right, tell the cloud's operator)",
    )


def image(found: Image, project: str, member: str | None) -> Finding:
    """Whether the project may use the image; `member` is what it said to one that another project shares with it."""
    words = f"{found.name} ({found.id}) is {found.status} and {found.visibility or 'visible'}: {found}."
    if found.status != "active":
        return Finding("image", REFUSAL, f"{words} No machine starts from it.", "Name another one: --image.")
    if found.visibility == "shared" and found.owner not in ("", project) and member == "pending":
        meaning = f"{words} Project {found.owner} shares it, and this project has not accepted it: no list shows it."
        return Finding("image", WARNING, meaning, f"provision image accept {found.id}")
    return Finding("image", OK, words)


def size_of(course: Size, found: Image | None) -> Size:
    """What a machine must have for the course, and for the image if it is known."""
    if found is None:
        return course
    return replace(course, memory=max(course.memory, found.min_ram), disk=max(course.disk, found.smallest_disk))


def flavor(chosen: Flavor, course: Size, found: Image | None, flavors: Iterable[Flavor]) -> Finding:
    """Whether the flavor has what course and image need; `flavors` are those that could be taken in its place."""
    size = size_of(course, found)
    if small := (*(misfits(found, chosen) if found else ()), *_short(chosen, course)):
        fit = smallest(flavors, size)
        instead = f"Take {describe(fit)}: --flavor {fit.name}, or flavor in cohort.toml." if fit else new_flavor(size)
        meaning = f"{describe(chosen)} is too small: {'; '.join(small)}. No machine would start, or run well."
        return Finding("flavor", REFUSAL, meaning, instead)
    if chosen.disk == 0:
        meaning = f"{describe(chosen)} has no disk of its own: many clouds refuse to start machines with it."
        return Finding("flavor", WARNING, meaning, "Take one with a disk; the canary machine tells whether this works.")
    return Finding("flavor", OK, f"{describe(chosen)} has what course and image need: {size}.")


def _short(chosen: Flavor, course: Size) -> Iterable[str]:
    pairs = (
        ("vCPUs", "", chosen.vcpus, course.vcpus),
        ("memory", " MiB", chosen.memory, course.memory),
        ("disk", " GiB", chosen.disk or course.disk, course.disk),
    )
    for what, unit, has, needs in pairs:
        if has < needs:
            yield f"flavor {what} {has}{unit} < the course's {needs}{unit}"


def stacks(needed: int, used: int, told: int | None = None) -> Finding:
    """Whether Heat takes so many more stacks. Its limit cannot be asked for: only one that was `told` refuses."""
    words = f"{needed} more stacks, {used} are there"
    if told is not None:
        return _told_stacks(words, used + needed, told)
    if used + needed <= STACK_LIMIT:
        return Finding("stacks", OK, f"{words}: no more than {STACK_LIMIT}, Heat's default limit for a project.")
    return Finding(
        "stacks",
        WARNING,
        f"{words}: that is more than {STACK_LIMIT}, Heat's default limit for a project, which cannot be asked for. If"
        f" it holds here, {used + needed - STACK_LIMIT} are refused.",
        f"Ask the operator whether max_stacks_per_tenant in heat.conf is at least {used + needed}, and write what he"
        " says into cohort.toml ([cloud] stack_limit); or split the cohort over projects.",
    )


def _told_stacks(words: str, total: int, told: int) -> Finding:
    if total <= told:
        return Finding("stacks", OK, f"{words}: no more than {told}, which is the project's limit by cohort.toml.")
    return Finding(
        "stacks",
        REFUSAL,
        f"{words}: {total - told} too many for {told}, which is the project's limit by cohort.toml.",
        f"Ask the operator for max_stacks_per_tenant = {total} in heat.conf, and write it into cohort.toml"
        " ([cloud] stack_limit); or split the cohort over projects.",
    )


def quotas(needed: Mapping[str, int], limits: Mapping[str, Quota], project: str, shape: Shape) -> Iterable[Finding]:
    """Whether the project's limits leave what is needed, resource by resource."""
    for name, limit in limits.items():
        if need := needed.get(name, 0):
            yield _quota(name, need, limit, project, shape)


def _quota(name: str, need: int, limit: Quota, project: str, shape: Shape) -> Finding:
    total = limit.used + need
    if limit.limit >= 0 and total > limit.limit:
        free = max(0, limit.limit - limit.used)
        meaning = f"{name}: {need} needed, {free} free ({limit.used} of {limit.limit} used)"
        fix = quota_request(name, total, project)
        if not shape.shared and name in _SHARED:
            fix += '\nOr write shape = "shared" into cohort.toml: up to 200 students share one.'
        return Finding("quota", REFUSAL, meaning, fix, name)
    if name == "routers" and total > HA_ROUTERS:
        return Finding(
            "quota",
            WARNING,
            f"{name}: {total} would be there. Where routers are highly available (l3_ha), a project has at most "
            f"{HA_ROUTERS}.",
            'Write shape = "shared" into cohort.toml: up to 200 students share a router.',
            name,
        )
    of = f"{limit.limit - limit.used} free ({limit.used} of {limit.limit} used)" if limit.limit >= 0 else "no limit"
    return Finding("quota", OK, f"{name}: {need} needed, {of}", about=name)


_SHARED = ("networks", "subnets", "routers")


def canary_ready(made: float, ready: float, removed: float) -> Finding:
    """A machine was made as a student's is; times in seconds."""
    return Finding(
        "canary",
        OK,
        f"One machine, made as a student's is, stood after {made:.0f} s, was proved ready from outside after"
        f" {ready:.0f} s, and was gone again {removed:.0f} s later.",
    )


def canary_failed(stage: str, reason: str, hint: str) -> Finding:
    """No machine could be made as a student's is, or it did not become ready."""
    return Finding("canary", REFUSAL, f"One machine, made as a student's is, failed at {stage}: {reason}", hint)
