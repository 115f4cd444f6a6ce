"""Which student of the roster somebody is."""

from collections.abc import Iterable
from typing import Any

from provision.core.roster import Student


def student_by_id(roster: Iterable[Student], wanted: object) -> str | None:
    """The student with this id. Capitals make no difference: the roster has no two ids that differ by them alone."""
    if not isinstance(wanted, str) or not wanted:
        return None
    return next((each.id for each in roster if each.id.casefold() == wanted.casefold()), None)


def student_by_email(roster: Iterable[Student], wanted: object) -> str | None:
    """The student with this address; nobody, if two have it."""
    if not isinstance(wanted, str) or not wanted:
        return None
    found = [each.id for each in roster if each.email.casefold() == wanted.casefold()]
    return found[0] if len(found) == 1 else None


def person_name(claims: dict[str, Any]) -> str:
    """What to call somebody: one line, not endless."""
    parts = [claims.get("given_name"), claims.get("family_name")]
    name = claims.get("name") or " ".join(each for each in parts if isinstance(each, str))
    return _line(name)


def person_email(claims: dict[str, Any]) -> str:
    """The address, as it was said."""
    return _line(claims.get("email"))


def _line(value: object) -> str:
    held = value if isinstance(value, str) else ""
    return "".join(sign for sign in held if sign.isprintable())[:200].strip()
