"""What students are called on the cloud: by the registry's ids, or by opaque labels that only a key can make.

A label is "k", the key's mark, a hyphen and the student's own part, so that what is seen on a cloud says by which key
it was named, and not whose it is.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from provision.core.plan import Stack

KEY_BYTES = 32
MARK, OWN = 6, 16  # letters of 5 bits: 80 bits never meet in a cohort, and 30 tell keys apart
LABEL = re.compile(rf"k[a-z2-7]{{{MARK}}}-[a-z2-7]{{{OWN}}}")


@dataclass(frozen=True)
class Labels:
    """What a cohort's students are called, both ways: `students` are those whose labels can be told.

    Without a key they are called by their ids. `place` is where the key is, for messages.
    """

    key: bytes | None = field(default=None, repr=False)
    students: tuple[str, ...] = ()
    place: str = ""

    def label(self, student: str) -> str:
        """What a student is called on the cloud."""
        if self.key is None:
            return student
        return f"{self.prefix}{_letters(self.key, f'student:{student}', OWN)}"

    def student(self, label: str) -> str:
        """Whom a label means; the label itself where that cannot be told."""
        return self._students.get(label, label)

    def named(self, label: str) -> bool:
        """Whether these labels' key, or none if they have none, is what made a label."""
        if self.key is None:
            return label in self._students or not LABEL.fullmatch(label)
        return label.startswith(self.prefix)

    @cached_property
    def prefix(self) -> str:
        """What all labels of the key begin with."""
        return f"k{_letters(self.key or b'', 'mark', MARK)}-"

    @cached_property
    def _students(self) -> dict[str, str]:
        return {self.label(student): student for student in self.students}


def recognised(stacks: Iterable[Stack], labels: Labels) -> tuple[Stack, ...]:
    """The stacks with their students' ids in place of their labels."""
    if labels.key is None:
        return tuple(stacks)
    return tuple(replace(stack, student=labels.student(stack.student)) for stack in stacks)


def _letters(key: bytes, message: str, count: int) -> str:
    digest = hmac.digest(key, message.encode(), "sha256")
    return b32encode(digest).decode().lower()[:count]
