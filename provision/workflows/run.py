"""A launch under way: what was begun for whom, what came back, and how it ended."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from queue import SimpleQueue

from provision.clock import REAL, Clock
from provision.core.outcome import Failed, Outcome
from provision.core.plan import Stack
from provision.core.roster import Student
from provision.errors import CloudError, ProvisionError
from provision.progress import Phase, Progress
from provision.workflows.crew import Crew, Results
from provision.workflows.submitting import Line, leave, new_line, words

GRACE, LONGEST_GRACE = 10.0, 120.0  # seconds after which an old state is no longer mistaken for the new request's


@dataclass(frozen=True)
class Answered:
    """A call that changes something came back, perhaps with an error. `step`: create, delete, or remove and an id."""

    student: str
    step: str
    error: ProvisionError | None = None


@dataclass(frozen=True)
class Seen:
    """What a list call that was made `at` that time saw, or its error."""

    at: float
    stacks: tuple[Stack, ...] = ()
    error: CloudError | None = None


@dataclass(frozen=True)
class Why:
    """Why a stack failed. One that is `stuck` could not be deleted."""

    failed: Failed
    stuck: bool


@dataclass(frozen=True)
class Found:
    """Machines that are there to be proved, and the addresses that are known of them, by stack id."""

    stacks: tuple[Stack, ...]
    addresses: Mapping[str, str]


Result = Outcome | Answered | Seen | Why | Found


@dataclass(frozen=True)
class Ears:
    """Who follows a launch, student by student, and may send it more students: asked for every `pause` seconds."""

    stage: Callable[[str, str], None] = lambda _student, _stage: None
    end: Callable[[Outcome], None] = lambda _outcome: None
    more: Callable[[], tuple[Student, ...]] = lambda: ()
    pause: float = 60.0


DEAF = Ears()


@dataclass
class Run:
    """Who works, what was begun (by student and step, at which time), and how it ended for whom.

    `seen` is when the last list call that was answered was made, `looking` when the one under way, `due` when the next
    is to be. What met an error is begun again, on the word of a list call made after `not_before`. `progressed` is when
    the cloud last took a create. `fresh` are machines that are about to be proved, `stages` those of the ones that are.
    """

    clock: Clock = REAL
    ears: Ears = DEAF
    results: Results[Result] = field(default_factory=SimpleQueue)
    begun: dict[tuple[str, str], float] = field(default_factory=dict)
    not_before: dict[tuple[str, str], float] = field(default_factory=dict)
    tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    remade: Counter[str] = field(default_factory=Counter)
    stages: dict[str, str] = field(default_factory=dict)
    fresh: list[Stack] = field(default_factory=list)
    taken: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    failures: int = 0
    pending: int = 0
    told: str = ""
    told_at: float = -inf
    looking: float | None = None
    line: Line = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.due = self.seen = self.progressed = self.clock.now()
        self.line = new_line(self.began)

    def reach(self, student: str, stage: str) -> None:
        """A machine's proof came to a stage."""
        self.stages[student] = stage
        self.ears.stage(student, stage)

    def begin(self, crew: Crew[Result], task: Callable[[], Result]) -> None:
        """Give a task to a crew; `pending` counts those that have not returned."""
        self.pending += 1
        crew.begin(task)

    def first(self, student: str, step: str) -> bool:
        """Whether `step` is begun for the student only now: each is once a run, or once more when it met an error."""
        if (student, step) in self.begun or self.seen < self.not_before.get((student, step), -inf):
            return False
        self.begun[student, step] = self.clock.now()
        return True

    def again(self, student: str, step: str) -> None:
        """Let a step be begun again, when a list call that is made after a while still asks for it."""
        self.begun.pop((student, step), None)
        grace = min(LONGEST_GRACE, GRACE * 2.0 ** max(0, self.tries[student, step] - 1))
        self.not_before[student, step] = self.clock.now() + grace

    def age(self, student: str, step: str) -> float:
        """Seconds since the step began; 0 if it did not."""
        now = self.clock.now()
        return now - self.begun.get((student, step), now)

    def end(self, outcome: Outcome, progress: Progress) -> None:
        """It ended for a student."""
        leave(self.line, outcome.student)
        self.stages.pop(outcome.student, None)
        self.failures += isinstance(outcome, Failed)
        self.outcomes[outcome.student] = outcome
        progress.say(announce(outcome))
        self.ears.end(outcome)


def announce(outcome: Outcome) -> str:
    """One line on how it ended for a student."""
    if isinstance(outcome, Failed):
        return f"{outcome.student}: failed at {outcome.stage}: {outcome.reason}"
    return f"{outcome.student}: ready at {outcome.url}"


def tell(run: Run, total: int, phase: Phase) -> None:
    """Say how far the run is, at most once a second."""
    if run.clock.now() < run.told_at + 1:
        return
    run.told_at = run.clock.now()
    if (said := summary(run, total)) != run.told:
        phase.note(said)
        run.told = said


def summary(run: Run, total: int) -> str:
    """How far the run is, in a few words."""
    stages = list(run.stages.values())  # of those that are proved just now
    making = total - len(run.outcomes) - len(stages) - len(run.line.waiting)
    parts = [f"{len(run.outcomes) - run.failures} of {total} ready"]
    parts += [said] if (said := words(run.line)) else []
    parts += [f"{making} being made"] if making else []
    parts += [f"{stages.count(stage)} at {stage}" for stage in dict.fromkeys(sorted(stages))]
    parts += [f"{run.failures} failed"] if run.failures else []
    silent = run.clock.now() - run.seen
    parts += [f"no answer for {silent:.0f} s"] if run.looking is not None and silent > 60 + run.line.pace.look else []
    return ", ".join(parts)
