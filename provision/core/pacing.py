"""How fast a cloud is asked for stacks: a token bucket, and a pace that learns what the cloud bears. Time is given.

Nobody can ask a cloud what it bears. So each create carries the pace of its moment, and what becomes of it is the
answer: prompt, late, or bad. The pace grows when enough were prompt; when more than half are late or bad it falls to
three quarters of the pace at which these were asked for, which is remembered. What was asked for before a cut says
nothing about the new pace, and is not counted again. (Additive increase and multiplicative decrease as TCP's, of a
rate; a remembered ceiling as in CUBIC, RFC 9438; lateness is the signal of TCP Vegas.)
"""

from dataclasses import dataclass, replace
from math import inf

START = 1.5  # creates a second that a cloud of which nothing is known is asked for
SLOWEST, FASTEST = 0.05, 50.0  # creates a second: a cloud in trouble is still asked; one that bears all is not flooded
GROWTH, ENOUGH = 1.5, 8  # the next pace, and how many must have gone well at this one
CUT, SETTLE = 0.75, 10.0  # of the pace that was too much; for so many seconds after it, answers still tell of before
NEAR, CALM = 0.85, 300.0  # of the pace that was too much: nothing above it before so many seconds are over
CREEP = 1.1  # and then in small steps
UNSEEN = 96  # stacks open at once, before the first is complete
ROOM, FEWEST = 1.25, 4  # then: times what is open at this pace if none waits for another, and some more
PROMPT, LATE = 1.2, 1.5  # times the shortest that a stack took
SEEN = 5.0  # and seconds more, twice as many for what is late
MEMORY = 1 / 8  # the weight of the last answer
LOOK, LONGEST_LOOK = 3.0, 45.0  # seconds between two looks at all stacks
BEGINNING, OFTEN = 120.0, 12.0  # for so many seconds, and in trouble, we look at least that often
HAIR = 1e-4  # of a token is not waited for: it may be less than a clock that counts from 1970 can tell
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds, doubled with every refusal in a row


@dataclass(frozen=True)
class Bucket:
    """Tokens that fill at `rate` a second up to `burst`: in t seconds no more than rate * t + burst are taken."""

    rate: float
    burst: float
    tokens: float
    at: float


def full_bucket(rate: float, burst: float, now: float) -> Bucket:
    """A bucket with its burst in it."""
    return Bucket(rate, burst, burst, now)


def filled(bucket: Bucket, now: float) -> Bucket:
    """The bucket as it is now. A clock that went back fills nothing."""
    tokens = min(bucket.burst, bucket.tokens + bucket.rate * max(0.0, now - bucket.at))
    return replace(bucket, tokens=tokens, at=max(now, bucket.at))


def wait_for_token(bucket: Bucket, now: float) -> float:
    """Seconds until a token can be taken; 0 if one can be now."""
    missing = 1 - filled(bucket, now).tokens
    return missing / bucket.rate if missing > HAIR else 0.0


def take_token(bucket: Bucket, now: float) -> Bucket | None:
    """The bucket without the token that is taken, or None where there is none yet."""
    bucket = filled(bucket, now)
    return replace(bucket, tokens=bucket.tokens - 1) if bucket.tokens >= 1 - HAIR else None


@dataclass(frozen=True)
class Asked:
    """A create that was asked for: when, at what pace, and whether it was the pace that held it back."""

    at: float
    pace: float
    paced: bool


@dataclass(frozen=True)
class Pace:
    """What we believe a cloud bears: `bucket.rate` creates a second, at which `well` went well.

    `shortest` seconds is the least that a stack took, `trouble` the share of the last answers that were bad, `ceiling`
    the pace that was too much at `cut_at`. Stacks are looked at every `look` seconds: those that are complete and not
    seen yet count as open.
    """

    bucket: Bucket
    look: float = LOOK
    well: int = 0
    shortest: float = inf
    trouble: float = 0.0
    ceiling: float = inf
    cut_at: float = -inf
    paused_until: float = -inf
    refusals: int = 0

    @property
    def rate(self) -> float:
        """Creates a second."""
        return self.bucket.rate

    @property
    def window(self) -> int:
        """How many stacks may be asked for and not complete."""
        if self.shortest == inf:
            return UNSEEN
        return FEWEST + round(ROOM * self.rate * (self.shortest + max(SEEN, self.look / 2)))


def start_pace(now: float, rate: float = START) -> Pace:
    """Of a cloud of which nothing is known."""
    return Pace(full_bucket(rate, _burst(rate), now))


def _burst(rate: float) -> float:
    return 1 + rate / 4  # a loop that wakes a little late loses nothing by it


def wait_to_ask(pace: Pace, now: float, open_stacks: int) -> float:
    """Seconds until a create may be asked for while `open_stacks` are not complete; inf: not before one more is."""
    if open_stacks >= pace.window:
        return inf
    return max(pace.paused_until - now, wait_for_token(pace.bucket, now))


def ask(pace: Pace, now: float) -> tuple[Pace, Asked]:
    """One is asked for, now: the pace after it, and what to remember of the create."""
    idle = filled(pace.bucket, now).tokens >= pace.bucket.burst
    if (bucket := take_token(pace.bucket, now)) is None:
        raise ValueError("There is no token yet: wait_to_ask says when.")
    return replace(pace, bucket=bucket), Asked(now, pace.rate, paced=not idle)


def was_taken(pace: Pace) -> Pace:
    """The cloud answered that it makes the stack."""
    return replace(pace, refusals=0)


def went_well(pace: Pace, asked: Asked, now: float) -> Pace:
    """A stack is complete, since some time after the look before; one that took long says that others wait for it."""
    took = now - asked.at
    pace = replace(pace, shortest=min(pace.shortest, took))
    likely = took - pace.look / 2
    pace = _judged(pace, asked, now, bad=likely > LATE * pace.shortest + SEEN)
    of_this_pace = asked.paced and asked.pace >= pace.rate and asked.at >= pace.cut_at
    return _proved(pace, now) if of_this_pace and likely <= PROMPT * pace.shortest else pace


def _proved(pace: Pace, now: float) -> Pace:
    """One more went well at this pace; when it is enough, the next is taken."""
    if pace.well + 1 < ENOUGH:
        return replace(pace, well=pace.well + 1)
    known = min(NEAR * pace.ceiling, GROWTH * pace.rate)
    unknown = CREEP * pace.rate if now - pace.cut_at > CALM else 0.0
    return replace(_at_rate(pace, min(FASTEST, max(pace.rate, known, unknown)), now), well=0)


def went_badly(pace: Pace, asked: Asked, now: float) -> Pace:
    """The answer to a create was an error of the cloud, or got lost, or its stack failed for no reason of its own."""
    return _judged(pace, asked, now, bad=True)


def was_refused(pace: Pace, asked: Asked, now: float, wait: float | None, jitter: float) -> Pace:
    """The cloud asks for fewer calls: nobody asks it until `wait` is over, or our own pause. 0 <= jitter < 1.

    Our own doubles when one that was asked for after a pause is refused again; those under way before it count once.
    """
    again = asked.at >= pace.paused_until
    refusals = pace.refusals + again
    own = min(LONGEST_PAUSE, PAUSE * 2.0**refusals) * (1 + jitter) / 2 if again else 0.0
    paused = max(pace.paused_until, now + max(own, wait or 0.0))
    return replace(_judged(pace, asked, now, bad=True), paused_until=paused, refusals=refusals)


def look_again(pace: Pace, waiting: int, total: int, age: float) -> Pace:
    """The pace with the seconds until the next look: seldom, for each look costs a call, but often towards the end.

    `waiting` of `total` creates are still to be asked for; the launch is `age` seconds old. Few are looked at often.
    """
    left = waiting / pace.rate + (pace.shortest if pace.shortest < inf else age)
    shortest = max(LOOK, age / 100)
    longest = OFTEN if age < BEGINNING or pace.trouble > 0.2 else min(LONGEST_LOOK, pace.shortest / 2)
    return replace(pace, look=max(shortest, min(longest, left / 5, total / 20)))


def _judged(pace: Pace, asked: Asked, now: float, *, bad: bool) -> Pace:
    if asked.at < pace.cut_at:
        return pace
    trouble = pace.trouble + MEMORY * (bad - pace.trouble)
    return _cut(pace, asked, now) if trouble > 0.5 else replace(pace, trouble=trouble)


def _cut(pace: Pace, asked: Asked, now: float) -> Pace:
    too_much = min(pace.rate, asked.pace)
    slower = _at_rate(pace, max(SLOWEST, CUT * too_much), now)
    return replace(slower, well=0, trouble=0.0, ceiling=too_much, cut_at=now + SETTLE)


def _at_rate(pace: Pace, rate: float, now: float) -> Pace:
    return replace(pace, bucket=replace(filled(pace.bucket, now), rate=rate, burst=_burst(rate)))
