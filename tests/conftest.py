"""How long each tier took, printed above pytest's closing line; and no test fails because the machine is busy."""

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum the seconds of setup, call and teardown by the folder below tests/."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[_tier(report.nodeid)] += report.duration
    terminalreporter.section("seconds by tier")
    for tier, total in sorted(seconds.items()):
        terminalreporter.write_line(f"{total:8.1f} {tier}")


def _tier(nodeid: str) -> str:
    parts = Path(nodeid.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 else "architecture"
