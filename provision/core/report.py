"""What was proved of an image: one line for each proof, as JUnit's XML for a CI server, and for the manifest."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

# What XML 1.0 cannot hold; a guest's words may.
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Proved:
    """How one proof ended: `failure` says why it failed, `hint` what to do; `seen` is what a passed one saw.

    `group` is the state of the machine that it is about. `tried` is False where an earlier failure left no way to try.
    """

    group: str
    name: str
    seconds: float
    failure: str | None = None
    hint: str = ""
    seen: str = ""
    tried: bool = True

    @property
    def verdict(self) -> str:
        """ "passed", or "failed: " and why."""
        return "passed" if self.failure is None else f"failed: {self.failure}"


@dataclass(frozen=True)
class Report:
    """All proofs of an image: when they began (ISO 8601), and how many seconds they took together."""

    subject: str
    when: str
    seconds: float
    proofs: tuple[Proved, ...]

    @property
    def passed(self) -> bool:
        """True if there are proofs and none failed."""
        return bool(self.proofs) and all(proof.failure is None for proof in self.proofs)


def verified(report: Report) -> dict[str, object]:
    """The manifest's `verified`."""
    return {
        "passed": report.passed,
        "when": report.when,
        "seconds": round(report.seconds, 1),
        "proofs": {f"{proof.group}: {proof.name}": proof.verdict for proof in report.proofs},
    }


def junit(report: Report) -> str:
    """JUnit's XML: one suite; a proof that failed is a failure, one that could not be tried is an error."""
    tried = [proof for proof in report.proofs if proof.failure is not None and proof.tried]
    untried = [proof for proof in report.proofs if not proof.tried]
    suite = ElementTree.Element(
        "testsuite",
        name=_printable(f"provision image verify {report.subject}"),
        tests=str(len(report.proofs)),
        failures=str(len(tried)),
        errors=str(len(untried)),
        skipped="0",
        time=f"{report.seconds:.3f}",
        timestamp=report.when,
    )
    for proof in report.proofs:
        _add_case(suite, proof, _printable(report.subject))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _add_case(suite: ElementTree.Element, proof: Proved, subject: str) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"{subject}.{proof.group}", name=proof.name, time=f"{proof.seconds:.3f}"
    )
    if proof.failure is not None:
        kind = "failure" if proof.tried else "error"
        words = _printable(proof.failure)
        failure = ElementTree.SubElement(case, kind, message=words, type=proof.name)
        failure.text = f"{words}\n{_printable(proof.hint)}".strip()
    elif proof.seen:
        ElementTree.SubElement(case, "system-out").text = _printable(proof.seen)


def _printable(words: str) -> str:
    return _UNPRINTABLE.sub("?", words)
