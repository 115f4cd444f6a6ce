"""The faults that a launch must stand, as data: what goes wrong, and how the first run may end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from provision.core.drift import STUCK

from .faults import (
    ANY_CALL,
    LISTED_STACKS,
    NEW_STACK,
    RETRIES,
    Delay,
    Drop,
    Fate,
    Fault,
    Hang,
    Happening,
    RetryDate,
    Say,
    Setup,
    Trickle,
    Trouble,
    Truncate,
)

OLD, NEW = ("s0000", "s0001"), ("s0002", "s0003")  # who had a machine before the trouble, and who gets one in it
PAGE = "<html><head><title>Welcome</title></head><body>Please sign in to the campus network.</body></html>"
_SIZES = ("instances", "vCPUs", "networks", "subnets", "routers", "ports", "security groups", "floating IPs")
PLENTY = {**dict.fromkeys((*_SIZES, "security group rules"), 1000), "RAM (MiB)": 10**6}


@dataclass(frozen=True)
class Case:
    """A trouble. `ends` says at which stage students fail in the first run, and with which words in the reason.

    Nobody in it: all are ready, with nobody helping. `stops`: the run itself ends, with an error of these words.
    `repaired`: the second run is a repair, so many seconds later.
    """

    name: str
    setup: Setup
    ends: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    stops: str = ""
    repaired: float | None = None
    timeout: float = 60  # real seconds after which the client gives a call up


def storm(name: str, trouble: Say | RetryDate, seconds: float = 90, calls: str = NEW_STACK, **more: str) -> Case:
    """Every such call is answered like that, for a while."""
    return Case(name, Setup(faults=(Fault(calls, trouble, end=seconds),)), **more)  # type: ignore[arg-type]


def once(name: str, calls: str, trouble: Trouble, times: int = 1, begin: float = 0, **more: object) -> Case:
    """The first calls like that meet it, after `begin` seconds."""
    fault = Fault(calls, trouble, begin=begin, times=times)
    return Case(name, Setup(faults=(fault,)), **more)  # type: ignore[arg-type]


def fate(name: str, words: str, *fates: Fate, stage: str = "server", student: str = NEW[0], **more: str) -> Case:
    """One student's stack comes to no good."""
    return Case(name, Setup(fates=fates), ends={student: (stage, words)}, **more)  # type: ignore[arg-type]


def used_up(name: str, words: str, stage: str) -> Case:
    """Somebody else takes all of a quota but what one machine needs, once it was found to be enough."""
    one = {"RAM (MiB)": 2048, "ports": 3, "security group rules": 6}.get(name, 1)
    happening = Happening(lambda cloud: cloud.take_all_but(one, name), call=NEW_STACK)
    return Case(
        f"quota of {name} used up meanwhile", Setup(quotas=PLENTY, happenings=(happening,)), ends={"": (stage, words)}
    )


CASES: tuple[Case, ...] = (
    storm("429 without Retry-After", Say(429)),
    storm("429 with Retry-After in seconds", Say(429, headers={"Retry-After": "20"})),
    storm("429 with Retry-After as a date", RetryDate(20, 429)),
    storm("503 without Retry-After", Say(503)),
    storm("503 with Retry-After in seconds", Say(503, headers={"Retry-After": "20"})),
    storm("503 with Retry-After as a date", RetryDate(20)),
    once("503 for lists", LISTED_STACKS, Say(503), times=2),
    *(
        once(
            f"{status} for a new stack, {'made' if acted else 'not made'}",
            NEW_STACK,
            Say(status, acted=acted),
        )
        for status in (500, 502, 504)
        for acted in (False, True)
    ),
    once("the answer to a new stack is lost", NEW_STACK, Drop(acted=True)),
    once("the connection is closed before a new stack is made", NEW_STACK, Drop()),
    once("a reset before a new stack is made", NEW_STACK, Drop(reset=True)),
    once("a reset after a new stack is made", NEW_STACK, Drop(acted=True, reset=True)),
    once("resets of lists", LISTED_STACKS, Drop(reset=True), times=2),
    once("no answer to a new stack, made", NEW_STACK, Hang(acted=True), timeout=1),
    once("no answer to a list in mid-run", LISTED_STACKS, Hang(), begin=10, timeout=1),
    once("slow loris for a new stack", NEW_STACK, Trickle(1)),
    once("slow loris for a list in mid-run", LISTED_STACKS, Trickle(0.1), begin=10),
    once("30 s for every call", ANY_CALL, Delay(30), times=1000),
    once("a truncated list", LISTED_STACKS, Truncate()),
    once("a page instead of a list", LISTED_STACKS, Say(200, PAGE)),
    once("truncated lists in mid-run", LISTED_STACKS, Truncate(), times=3, begin=10),
    once("pages instead of lists in mid-run", LISTED_STACKS, Say(200, PAGE), times=3, begin=10),
    once("a page instead of a new stack", NEW_STACK, Say(200, PAGE)),
    once("a truncated answer to a new stack", NEW_STACK, Truncate()),
    once("a page instead of a stack's outputs", r"^GET /heat/.*/stacks/[^/]+/[^/?]+$", Say(200, PAGE)),
    Case("the token ends in mid-run", Setup(token_life=20)),
    Case("the token is revoked in mid-run", Setup(happenings=(Happening(lambda cloud: cloud.tokens.clear(), 5),))),
    Case("Keystone is down at the start", Setup(faults=(Fault("/identity", Say(503), end=60),)), stops="sign|Sign"),
    Case(
        "an outage of 6 minutes",
        Setup(faults=(Fault(ANY_CALL, Say(503), begin=15, end=375),)),
    ),
    Case(
        "an outage of 6 minutes, from the first new stack on",
        Setup(happenings=(Happening(lambda cloud: cloud.suffer(Fault(ANY_CALL, Say(503)), 360), call=NEW_STACK),)),
    ),
    fate("no valid host", "No compute node has room", Fate("s0002")),
    fate("exhausted retries", "Every compute node that tried", Fate("s0002", reason=RETRIES)),
    Case(
        "heat-engine killed in mid-create",
        Setup(fates=(Fate("s0002", "OS::Neutron::Port", reason=None),)),
        ends={"s0002": ("stack", "still CREATE_IN_PROGRESS")},
        repaired=STUCK.total_seconds(),
    ),
    fate("a machine that boots late", "does not answer", Fate("s0002", action="BOOT"), stage="web"),
    fate(
        "no metadata at boot: the machine is nobody's",
        "does not take its student's password",
        Fate("s0002", action="DATA"),
        stage="web",
    ),
    Case(
        "message bus and database are restarted in mid-run",
        Setup(faults=(Fault(r"^[A-Z]+ /(heat|nova|neutron)/", Say(500), begin=10, end=70),)),
    ),
    Case(
        "the message bus is restarted as stacks are asked for: Heat took them, and says 500",
        Setup(faults=(Fault(NEW_STACK, Say(500, acted=True), end=60), Fault("^GET /heat/", Say(500), begin=5, end=60))),
    ),
    *(
        used_up(name, "A quota of the project is used up", stage)
        for name, stage in (
            ("instances", "server"),
            ("vCPUs", "server"),
            ("RAM (MiB)", "server"),
            ("networks", "network"),
            ("subnets", "subnet"),
            ("routers", "router"),
            ("ports", "port|subnet|router_interface"),
            ("security groups", "security_group"),
            ("security group rules", "security_group"),
            ("floating IPs", "floating_ip"),
            ("stacks", "create"),
        )
    ),
    Case(
        "the pool of addresses is empty",
        Setup(happenings=(Happening(lambda cloud: cloud.take_all_but(2, "addresses"), call=NEW_STACK),)),
        ends={"": ("floating_ip|router", "no free address left")},
    ),
)

# A fifth of all calls goes wrong, in one way or another, and then nothing works for six minutes.
WEATHER = (
    Fault(ANY_CALL, Say(503), begin=120, end=480),
    Fault(NEW_STACK, Drop(acted=True), share=0.05),
    Fault(NEW_STACK, Say(500), share=0.05),
    Fault(NEW_STACK, Say(504, acted=True), share=0.05),
    Fault(NEW_STACK, Say(429, headers={"Retry-After": "5"}), share=0.05),
    Fault("^(GET|DELETE) /heat", Say(503), share=0.1),
    Fault("^(GET|DELETE) /heat", Drop(reset=True), share=0.1),
)
