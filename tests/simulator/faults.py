"""What goes wrong, as data: which calls meet which trouble and when, and what becomes of which stacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .state import Cloud


@dataclass(frozen=True)
class Say:
    """Answer this instead; `acted`: after having done what was asked. `body` None is the service's own error form."""

    status: int
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    acted: bool = False


@dataclass(frozen=True)
class Drop:
    """Close the connection without an answer, or with a reset; `acted`: after having done what was asked."""

    acted: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Delay:
    """Answer rightly, that many seconds later than usual."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """Answer rightly, one byte each so many seconds, headers included."""

    seconds: float


@dataclass(frozen=True)
class Truncate:
    """Do what was asked, and answer with only the first part of the body under a right-looking Content-Length."""

    share: float = 0.5


@dataclass(frozen=True)
class RetryDate:
    """A status with Retry-After as an HTTP date, that many seconds from then."""

    seconds: float
    status: int = 503


@dataclass(frozen=True)
class Hang:
    """Never answer: on the simulator's clock for `seconds`, then on the real one until the client gives up.

    A client that gives up after 60 s is told so (api_timeout) a shorter time when its clock is a virtual one.
    """

    seconds: float = 60
    acted: bool = False


Trouble = Say | Drop | Delay | Trickle | Truncate | RetryDate | Hang


@dataclass(frozen=True)
class Fault:
    """Calls that match `calls` meet `trouble`.

    `calls` is a regular expression, searched in "METHOD /service/path?query" and for a new stack followed by its name.
    `begin` and `end` are seconds since the simulator's start; `skip` of the calls come through before, then `times`
    meet it; `share` is the chance of each.
    """

    calls: str
    trouble: Trouble
    begin: float = 0
    end: float = inf
    skip: int = 0
    times: float = inf
    share: float = 1


NEW_STACK = r"^POST /heat/.*/stacks( |$)"
DELETED_STACK = r"^DELETE /heat/"
LISTED_STACKS = r"^GET /heat/[^ ]*/stacks(\?|$)"
ANY_READ = "^GET "
ANY_CALL = "^[A-Z]+ /(?!machines)"  # to the cloud: machines are reached by another way

NO_HOST = (
    'ResourceInError: resources.{resource}: Went to status ERROR due to "Message: No valid host was found. '
    'There are not enough hosts available., Code: 500"'
)
RETRIES = (
    'ResourceInError: resources.{resource}: Went to status ERROR due to "Message: Exceeded maximum number of retries. '
    'Exhausted all hosts available for retrying build failures for instance., Code: 500"'
)


@dataclass(frozen=True)
class Fate:
    """What becomes of stacks whose names match `stacks`, the first `times` of them (a second try is another stack).

    `at` is the type of the resource at which it happens. `action` is CREATE, UPDATE or DELETE: with `reason` it fails
    there, without it never gets further. The action BOOT, of a server, is a machine that never serves; DATA, one that
    serves, but did not learn at its boot whose it is. `share` is the chance of each.
    """

    stacks: str = ""
    at: str = "OS::Nova::Server"
    action: str = "CREATE"
    reason: str | None = NO_HOST
    times: float = inf
    share: float = 1


@dataclass(frozen=True)
class Latency:
    """How long answers take, in seconds: reads, writes (a stack's POST), and a share of all that takes `tail` more."""

    read: float = 0.05
    write: float = 0.2
    spread: float = 0.0  # standard deviation of a log-normal factor
    tail: float = 0.0
    tail_share: float = 0.0


@dataclass(frozen=True)
class Capacity:
    """How many new stacks a second the cloud bears, attempts counted over `window` seconds.

    Up to `knee` it answers as ever; from there each takes longer, up to `strain` seconds; from `collapse` on it
    refuses all with 503, and what it refused has cost it as much.
    """

    knee: float = 1.5
    collapse: float = 2.0
    window: float = 10.0
    strain: float = 10.0


@dataclass(frozen=True)
class Build:
    """Seconds that it takes to make and to delete a stack's resources, together, and until the machine then serves."""

    create: float = 30.0
    delete: float = 10.0
    boot: float = 60.0


@dataclass(frozen=True)
class Happening:
    """What somebody or something does behind our back, once: `after` seconds, or else at a call like `call`.

    `skip` of those come through before.
    """

    do: Callable[["Cloud"], object]
    after: float | None = None
    call: str = ""
    skip: int = 0


@dataclass(frozen=True)
class Setup:
    """A cloud, as it is when nothing is wrong with it, and what will be. Quotas by the names of core/capacity.py."""

    latency: Latency = Latency()
    capacity: Capacity | None = None
    build: Build = Build()
    quotas: Mapping[str, int] = field(default_factory=dict)
    stack_limit: int = 512
    admin: bool = False  # whether the one who signs in has the role admin
    pool: int = 65_000  # public addresses
    faults: tuple[Fault, ...] = ()
    fates: tuple[Fate, ...] = ()
    happenings: tuple["Happening", ...] = ()
    token_life: float = 3600.0
    seed: int = 1
