"""Who is signed in."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Person:
    """`subject` names the person where they signed in, `student` in the roster; staff need not be in it."""

    subject: str
    student: str | None
    name: str
    email: str
    role: Literal["student", "staff"]
    via: Literal["link", "oidc", "lti"]
