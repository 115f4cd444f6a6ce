"""Who came in, whichever way."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Person:
    """Somebody who signed in. `student` is the roster's id, or None for staff; `subject` is the way's own name."""

    subject: str
    student: str | None
    name: str
    email: str
    role: Literal["student", "staff"]
    via: Literal["link", "oidc", "lti"]
