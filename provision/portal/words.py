"""Numbers as people say them, in the words of strings.py."""

from datetime import UTC, datetime

from provision.portal import strings


def seconds(value: float) -> str:
    """A length of time, roughly."""
    if value < 50:
        return strings.SECONDS.format(max(5, round(value / 5) * 5))
    if value < 90:
        return strings.MINUTE
    if value < 5400:
        return strings.MINUTES.format(round(value / 60))
    if value < 2 * 86400:
        return strings.HOURS.format(round(value / 3600))
    return strings.DAYS.format(round(value / 86400))


def ago(then: float | None, now: float) -> str:
    """How long since."""
    return "" if then is None else seconds(max(0.0, now - then))


def moment(then: float) -> str:
    """A date and time."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
