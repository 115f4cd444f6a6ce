"""The report of a verification, as CI servers read it and as the manifest keeps it."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from provision.core.report import Proved, Report, junit, verified

LOGIN = Proved("student", "login", 1.25)
PORTS = Proved("student", "ports", 11.5, seen="22, 80")
KERNEL = Proved("student", "kernel", 3.0, "No cell runs: <\x1b[31m> & \x00 it died.", "Read the journal.")
INSTALL = Proved("student", "offline pip install", 0.0, "Not tried", tried=False)
REPORT = Report("demo-7883ef0562f5", "2026-11-26T19:00:00+00:00", 20.04, (LOGIN, PORTS, KERNEL, INSTALL))


@pytest.mark.parametrize(
    ("proofs", "passed"), [((), False), ((LOGIN, PORTS), True), ((LOGIN, KERNEL), False), ((INSTALL,), False)]
)
def test_an_image_passes_when_everything_was_proved(proofs: tuple[Proved, ...], passed: bool) -> None:
    assert replace(REPORT, proofs=proofs).passed is passed
    assert verified(replace(REPORT, proofs=proofs))["passed"] is passed


def test_the_manifest_says_how_each_proof_ended() -> None:
    assert verified(REPORT) == {
        "passed": False,
        "when": "2026-11-26T19:00:00+00:00",
        "seconds": 20.0,
        "proofs": {
            "student: login": "passed",
            "student: ports": "passed",
            "student: kernel": f"failed: {KERNEL.failure}",
            "student: offline pip install": "failed: Not tried",
        },
    }


def test_junit_counts_what_it_lists() -> None:
    root = ElementTree.fromstring(junit(REPORT))  # noqa: S314 - our own
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    assert float(suite.get("time", "")) == 20.04
    cases = list(suite)
    assert [(case.tag, case.get("classname"), case.get("name")) for case in cases] == [
        ("testcase", "demo-7883ef0562f5.student", proof.name) for proof in REPORT.proofs
    ]
    assert [[child.tag for child in case] for case in cases] == [[], ["system-out"], ["failure"], ["error"]]
    assert float(cases[0].get("time", "")) == 1.25


def test_a_guests_words_cannot_break_the_xml() -> None:
    root = ElementTree.fromstring(junit(REPORT))  # noqa: S314 - our own
    (failure,) = root.iter("failure")
    assert failure.get("message") == "No cell runs: <?[31m> & ? it died."
    assert failure.text == "No cell runs: <?[31m> & ? it died.\nRead the journal."
