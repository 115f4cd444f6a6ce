"""A machine that waits for a student: what is proved of it while it is nobody's, and how it becomes a student's."""

from collections.abc import Callable
from pathlib import Path

from provision.errors import ProvisionError
from provision.guests import caretaker
from provision.guests.access import Access
from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.probes import STAGES, NotYetError, Stage, until
from provision.guests.proofs import NO_STUDENT


def waiting_stages(key: Path) -> tuple[Stage, ...]:
    """The proofs of a machine that is nobody's: it answers, says so, and its caretaker opens to `key`."""

    def prove_caretaker(access: Access, end: float) -> None:
        def attempt() -> None:
            try:
                whose = caretaker.diagnose(caretaker.door_to(access, key)).student
            except ProvisionError as exc:
                raise NotYetError(f"{exc.message} {exc.hint or ''}".strip()) from exc
            if whose:
                raise NotYetError(f"it says that it is {whose}'s")

        until(end, attempt)

    return (
        STAGES[0],
        Stage("page", _prove_page, "The machine does not say that it waits", "Read its console. It may still boot."),
        Stage(
            "caretaker",
            prove_caretaker,
            "The machine's caretaker does not do what it is asked",
            "May this computer use SSH there (access.ssh in cohort.toml)? Was the image built with the role caretaker?",
        ),
    )


def _prove_page(access: Access, end: float) -> None:
    def attempt() -> None:
        try:
            answer = Jupyter(access.url, trusted=not access.tls).request("GET", "")
        except JupyterError as exc:
            raise NotYetError(str(exc)) from exc
        if NO_STUDENT not in answer.text:
            raise NotYetError(f"its page answered {answer.status_code} without the words {NO_STUDENT!r}")

    until(end, attempt)


def bind_by(key: Path) -> Callable[[Access, caretaker.Claim], None]:
    """What makes a machine a student's: its caretaker, to whom `key` opens."""
    return lambda access, claim: caretaker.claim(caretaker.door_to(access, key), claim)
