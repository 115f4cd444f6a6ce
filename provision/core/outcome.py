"""How a run ended for one student. A student's failure is data: it never stops the others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ready:
    """The student's machine was proved from outside, as the student will use it."""

    student: str
    url: str


@dataclass(frozen=True)
class Failed:
    """The student has no proved machine. `stage` is where it ended, `reason` the cloud's or the machine's own words."""

    student: str
    stage: str
    reason: str
    hint: str = ""


Outcome = Ready | Failed
