"""What is proved of an image: tables of proofs, each a plain function with what its failure means and what to do."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import requests

from provision.guests import probes, services
from provision.guests.access import Access
from provision.guests.emulator import Machine, reset
from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.pages import prove_application
from provision.guests.probes import NotYetError, until
from provision.guests.wire import open_ports

NO_STUDENT = "no student"  # the words of the page of a machine that is nobody's
SSH_PORT, HTTP_PORT, HTTPS_PORT = 22, 80, 443
ANSWER_SECONDS = 8.0  # a connection that QEMU accepted before the guest could is never answered: the next one may be
SETTLE_SECONDS = 180.0  # from the web server's first answer until the machine knows that it is nobody's


@dataclass(frozen=True)
class Expected:
    """What the course says that its machine has. `folders` are in the home; `applications` are (name, port)."""

    user: str
    folders: tuple[str, ...]
    applications: tuple[tuple[str, int], ...] = ()
    databases: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    data: bool = False
    tls: bool = False


@dataclass(frozen=True)
class Subject:
    """A running machine, the student's way in, and one browser whose session the proofs share.

    `end` (of time.monotonic) is when waiting for it is over.
    """

    machine: Machine
    access: Access
    expected: Expected
    browser: Jupyter
    end: float


@dataclass(frozen=True)
class Proof:
    """One proof, what its failure means, what to do about it, and the proof before it without which it makes no sense.

    `prove` returns what it saw in a few words, if that is worth any.
    """

    name: str
    prove: Callable[[Subject], str | None]
    meaning: str
    hint: str
    needs: str = ""


def unclaimed_proofs() -> tuple[Proof, ...]:
    """What is proved of a machine that the cloud gave no student."""
    return (
        _ANSWERS,
        Proof(
            "page",
            _prove_unclaimed_page,
            "A machine without a student does not say so",
            "Look at what the role nginx_proxy shows until Jupyter answers.",
            _ANSWERS.name,
        ),
        replace(_PORTS, needs=_ANSWERS.name),
        Proof(
            "locked",
            _prove_locked,
            "A machine without a student can be used",
            "Look at the roles first_boot and jupyter.",
            _ANSWERS.name,
        ),
        Proof(
            "ssh refuses",
            _prove_ssh_refuses,
            "A machine without a student lets people in by SSH",
            "Look at the roles ssh_keys and hardening.",
            _ANSWERS.name,
        ),
    )


def first_proofs() -> tuple[Proof, ...]:
    """What is proved of a student's machine before anything else: it is up, and its student can sign in."""
    return (_ANSWERS, _STAGES["web"], _STAGES["login"])


def notebook_proofs(expected: Expected) -> Iterator[Proof]:
    """What is proved in notebooks, one after the other, after `first_proofs`."""
    yield _STAGES["kernel"]
    if expected.databases:
        yield Proof(
            "PostgreSQL",
            lambda subject: services.prove_databases(subject.browser, expected.databases),
            "A notebook cannot use the course's database",
            "Look at the role postgresql.",
            "kernel",
        )
    if expected.packages:
        yield Proof(
            "offline pip install",
            lambda subject: services.prove_install(subject.browser, expected.packages),
            "The course's packages cannot be installed without a way out",
            "Look at the role offline: its wheelhouse and pip's configuration.",
            "kernel",
        )


def other_proofs(expected: Expected) -> Iterator[Proof]:
    """What is proved beside `notebook_proofs`, at the same time: ports, SSH, a terminal, the course's applications."""
    yield from (_PORTS, _STAGES["ssh"], _STAGES["safety"])
    yield Proof(
        "no sudo",
        lambda subject: probes.prove_no_sudo(subject.access, subject.end),
        "The student can become root",
        "Take the rule out of the box's /etc/sudoers or /etc/sudoers.d, or the student's group out of it.",
        _STAGES["ssh"].name,
    )
    yield Proof(
        "terminal",
        lambda subject: services.prove_terminal(subject.browser),
        "Signing in works but no terminal does",
        "If no cell runs either, a proxy drops websockets.",
        "login",
    )
    for name, port in expected.applications:
        for path in (name, f"proxy/{port}"):
            yield _application_proof(name, path)
    if expected.data:
        yield Proof(
            "/data/",
            lambda subject: services.prove_data(subject.browser),
            "The course's data is not served as it should be",
            "Look at [offline] in course.toml, and at the role nginx_proxy.",
            "login",
        )


def _application_proof(name: str, path: str) -> Proof:
    return Proof(
        f"/{path}/",
        lambda subject: prove_application(subject.browser, path, subject.end),
        f"{name} is not what its student should see",
        f"Look at systemctl status {name} on the machine, and at the role nginx_proxy.",
        "login",
    )


def rebooted_proofs() -> tuple[Proof, ...]:
    """What is proved of a student's machine at last: it heals, whatever its student deleted."""
    return (
        Proof(
            "reset",
            _break_and_reset,
            "The student could not delete the course's folders, or the machine could not be reset",
            "Look at the proof of the terminal.",
            "login",
        ),
        replace(_ANSWERS, needs="reset"),
        replace(
            _STAGES["web"],
            meaning="After its student deleted the course's folders the notebooks do not start again",
            hint="Look at the guards of the services: they make the folders anew, as root, before each start.",
        ),
        Proof(
            "folders healed",
            _prove_healed,
            "The folders that the student deleted are not there again",
            "Look at the guards of the services, and that the folders belong to the student.",
            "web",
        ),
    )


def _prove_answer(subject: Subject) -> None:
    def attempt() -> None:
        try:
            subject.browser.request("GET", "healthz", timeout=ANSWER_SECONDS)
        except JupyterError as exc:
            raise NotYetError(str(exc)) from exc

    until(subject.end, attempt)


def _prove_unclaimed_page(subject: Subject) -> None:
    def attempt() -> None:
        answer = subject.browser.request("GET", "")
        if answer.ok or NO_STUDENT not in answer.text:
            raise NotYetError(f"its page answered {answer.status_code} without the words {NO_STUDENT!r}")

    until(min(subject.end, time.monotonic() + SETTLE_SECONDS), attempt)


def _prove_locked(subject: Subject) -> None:
    for path in ("healthz", "login", "api", "lab", "tree"):
        if (answer := _answer(subject, "GET", path)).ok:
            raise NotYetError(f"/{path} answered {answer.status_code}")
    for password in ("", "vagrant", subject.expected.user, secrets.token_hex(8)):
        answer = _answer(subject, "POST", "login", data={"password": password}, allow_redirects=False)
        if answer.status_code < 400:
            raise NotYetError(f"POST /login answered {answer.status_code}")


def _answer(subject: Subject, method: str, path: str, **options: Any) -> requests.Response:
    """What the machine answers; where it drops the connection, as a server may between two requests, asked again."""
    answers: list[requests.Response] = []

    def attempt() -> None:
        try:
            answers.append(subject.browser.request(method, path, **options))
        except JupyterError as exc:
            raise NotYetError(str(exc)) from exc

    until(min(subject.end, time.monotonic() + SETTLE_SECONDS), attempt)
    return answers[0]


def _prove_ssh_refuses(subject: Subject) -> None:
    probes.prove_refused(subject.access, subject.end)
    probes.prove_safety(subject.access, subject.end)


def _prove_stage(stage: probes.Stage, subject: Subject) -> None:
    stage.proof(subject.access, subject.end)
    if stage.name == "login":
        subject.browser.sign_in(subject.access.password or "")


def _prove_ports(subject: Subject) -> str:
    found = open_ports(subject.machine.folder)
    wanted = {SSH_PORT, HTTPS_PORT if subject.expected.tls else HTTP_PORT}
    # With TLS, port 80 only leads to the other.
    if more := found - wanted - {HTTP_PORT}:
        raise NotYetError(f"these ports are open, too: {', '.join(map(str, sorted(more)))}")
    if missing := wanted - found:
        raise NotYetError(f"these ports are closed: {', '.join(map(str, sorted(missing)))}")
    return f"of all TCP ports these are open: {', '.join(map(str, sorted(found)))}"


def _break_and_reset(subject: Subject) -> None:
    services.delete_folders(subject.browser, subject.expected.folders)
    reset(subject.machine)
    subject.browser.http.close()  # its connections ended without a word


def _prove_healed(subject: Subject) -> str:
    if not subject.browser.sign_in(subject.access.password or ""):
        raise NotYetError("the student's password was refused")
    services.prove_healed(subject.browser, subject.expected.folders)
    return ", ".join(subject.expected.folders)


# Not the stage of that name: QEMU accepts a connection before its guest does.
_ANSWERS = Proof(
    "network",
    _prove_answer,
    "The machine's web server does not answer",
    "Read the machine's console (--keep). One that does not get there in time needs a longer --timeout.",
)
_NEEDS = {"web": "network", "login": "web", "kernel": "login", "ssh": "network", "safety": "network"}
_STAGES = {
    stage.name: Proof(stage.name, partial(_prove_stage, stage), stage.meaning, stage.hint, _NEEDS.get(stage.name, ""))
    for stage in probes.STAGES
}
_PORTS = Proof(
    "ports",
    _prove_ports,
    "More can be reached from outside than should be, or less",
    "Look at the role hardening: its firewall lets in SSH and the public port alone.",
    "web",
)
