"""What comes of the calls that change something: done, asked again, or never."""

from provision.cloud.stacks import StackExistsError
from provision.core.diagnosis import explain
from provision.core.outcome import Failed
from provision.errors import AuthenticationError, BusyError, ProvisionError, UnsureError
from provision.progress import Progress
from provision.workflows.run import Answered, Run
from provision.workflows.submitting import answered, failed_by_itself, refused

TRIES = 8  # how often a call is made whose answer is an error of the cloud
REMADE = 2  # how often a stack is made anew that failed for no reason that we know
STALLED = 1200.0  # seconds without a create that the cloud took, after which the rest is not asked for


def take_in_answer(run: Run, answer: Answered, progress: Progress) -> None:
    """A call is over: it did what was asked, or may yet, or it is asked again, or never will."""
    name, step, error, line, now = answer.student, answer.step, answer.error, run.line, run.clock.now()
    passing = isinstance(error, BusyError | UnsureError | AuthenticationError)
    if step == "create" and (error is None or passing):
        answered(line, name, error, now)
    elif step == "create":
        refused(line, name)
    if error is None:
        run.progressed = now if step == "create" else run.progressed
    elif isinstance(error, StackExistsError):
        run.taken[name] = now
    elif passing and now - run.progressed < STALLED and run.tries[name, step] < TRIES:
        run.tries[name, step] += not isinstance(error, BusyError)
        run.again(name, step)
    elif not step.startswith("remove"):  # the one that is kept is what counts
        run.end(Failed(name, step, error.message, error.hint or ""), progress)
    if passing and now - run.progressed >= STALLED:
        _give_up(run, error, progress)


def _give_up(run: Run, error: ProvisionError | None, progress: Progress) -> None:
    """Whoever still waits is told why nobody asks for him."""
    words = f"not asked for, because for {STALLED / 60:.0f} minutes the cloud took no create: {error and error.message}"
    while run.line.waiting:
        run.end(Failed(run.line.waiting.popleft(), "create", words, (error and error.hint) or ""), progress)


def remake(run: Run, failed: Failed) -> bool:
    """Whether a stack that failed is deleted and made anew: where the cloud's words name no cause that would stay."""
    name = failed.student
    if explain(failed.reason) or run.remade[name] >= REMADE:
        return False
    run.remade[name] += 1
    failed_by_itself(run.line, name, run.clock.now())
    for step in [step for student, step in run.begun if student == name]:
        del run.begun[name, step]
    return True
