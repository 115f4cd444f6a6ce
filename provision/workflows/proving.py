"""The machines of a verification: one without a student and one with, side by side; then Ansible a second time."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from provision.core.course import Course
from provision.core.report import Proved
from provision.core.variables import role_variables
from provision.disks.resize.mount import mounted
from provision.errors import ProvisionError
from provision.guests.access import Access
from provision.guests.configdrive import make_config_drive, student_user_data
from provision.guests.credentials import jupyter_hash, new_key_pair, new_password
from provision.guests.emulator import Machine, Settings, booted, check_running, power_down
from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.lending import lend
from provision.guests.playbooks import Played, play
from provision.guests.probes import NotYetError
from provision.guests.proofs import (
    HTTP_PORT,
    HTTPS_PORT,
    SSH_PORT,
    Expected,
    Proof,
    Subject,
    first_proofs,
    notebook_proofs,
    other_proofs,
    rebooted_proofs,
    unclaimed_proofs,
)
from provision.guests.tree import HOST, opened_tree, release_of, ssh_settings
from provision.paths import cache_home, write_private
from provision.process import run
from provision.progress import Phase, Progress
from provision.workflows.crew import Crew, Results, next_result

UNCLAIMED, STUDENT = "unclaimed", "student"  # the machines, whose folders have these names
SECOND_RUN = "Ansible changes nothing"
SECOND_RUN_HINT = "Make these tasks look before they act."
POWER_DOWN_SECONDS = 180.0
EMULATED_CPUS = 2  # at least: what starts side by side is ready sooner


@dataclass(frozen=True)
class Trial:
    """The disk that is verified and its format, its course, and a folder for what that makes.

    `patience` in seconds is what a machine may take to boot.
    """

    disk: Path
    form: str
    course: Course
    folder: Path
    kvm: bool
    patience: float
    notes: dict[str, str] = field(default_factory=dict)


def prove_image(trial: Trial, progress: Progress) -> tuple[Proved, ...]:
    """Boot the image twice at once, prove both machines, and run Ansible on the first one's disk meanwhile."""
    nobodys, students = _aside(lambda: _prove_unclaimed(trial)), _aside(lambda: _prove_student(trial))
    with progress.phase("Proving a machine without a student") as phase:
        unclaimed = _result(nobodys, trial, UNCLAIMED, phase)
    with progress.phase("Running Ansible on it a second time") as phase:
        second = _prove_second_run(trial, unclaimed, phase)
        phase.result(_count([second]))
    with progress.phase("Proving a student's machine") as phase:
        student = _result(students, trial, STUDENT, phase)
    return (*unclaimed, second, *student)


def expected_of(course: Course) -> Expected:
    """What the proofs are told of a course: what its roles are told."""
    told: Mapping[str, Any] = role_variables(course)

    return Expected(
        user=course.user.name,
        folders=tuple(told.get("course_user_folders") or ("notebooks",)),
        applications=tuple((each["name"], each["port"]) for each in told.get("nginx_proxy_applications", ())),
        databases=tuple(told.get("postgresql_databases", ())),
        packages=tuple(told.get("offline_packages", ())),
        data=bool(told.get("nginx_proxy_data")),
        tls=told.get("nginx_proxy_tls") == "own",
    )


def _aside(task: Callable[[], list[Proved]]) -> Results[list[Proved]]:
    """Begin `task` in a thread of its own."""
    results: Results[list[Proved]] = SimpleQueue()
    Crew(1, results).begin(task)
    return results


def _result(results: Results[list[Proved]], trial: Trial, machine: str, phase: Phase) -> list[Proved]:
    while (done := next_result(results, timeout=1.0)) is None:
        phase.note(trial.notes.get(machine, "it boots"))
    phase.result(_count(done))
    return done


def _count(done: Sequence[Proved]) -> str:
    failed = [proof.name for proof in done if proof.failure]
    return f"{len(failed)} of {len(done)} failed: {', '.join(failed)}" if failed else f"{len(done)} passed"


def _prove_unclaimed(trial: Trial) -> list[Proved]:
    """The machine without any data; afterwards it is switched off in order, for its disk to be read."""
    with booted(_settings(trial, None), trial.folder / UNCLAIMED) as machine:
        subject = _subject(trial, machine, new_password(), new_key_pair("nobody").private)
        done = _try_all(trial, UNCLAIMED, UNCLAIMED, unclaimed_proofs(), subject, [])
        if not _is_down(done):
            power_down(machine, deadline=POWER_DOWN_SECONDS)
    return done


def _is_down(unclaimed: Sequence[Proved]) -> bool:
    """True if the machine did not get as far as to answer."""
    return any(proof.name == "network" and proof.failure for proof in unclaimed)


def _prove_student(trial: Trial) -> list[Proved]:
    """The machine with a config drive; notebooks and everything else are proved side by side, then it is reset."""
    password, keys, drive = new_password(), new_key_pair("verify"), trial.folder / "drive.iso"
    user_data = student_user_data("verify", jupyter_hash(password), [keys.public])
    make_config_drive(drive, name=f"{trial.course.name}-verify", user_data=user_data)
    with booted(_settings(trial, drive), trial.folder / STUDENT) as machine:
        subject = _subject(trial, machine, password, keys.private)
        first = _try_all(trial, STUDENT, STUDENT, first_proofs(), subject, [])
        notebooks = _aside(lambda: _try_all(trial, STUDENT, STUDENT, notebook_proofs(subject.expected), subject, first))
        others = _try_all(trial, STUDENT, STUDENT, other_proofs(subject.expected), subject, first)
        done = [*first, *(next_result(notebooks) or []), *others]
        again = Subject(machine, subject.access, subject.expected, subject.browser, time.monotonic() + trial.patience)
        return [*done, *_try_all(trial, STUDENT, "rebooted", rebooted_proofs(), again, first)]


def _try_all(
    trial: Trial, machine: str, group: str, proofs: Iterable[Proof], subject: Subject, before: Sequence[Proved]
) -> list[Proved]:
    done: list[Proved] = []
    for proof in proofs:
        trial.notes[machine] = proof.name
        done.append(_try(proof, group, subject, [*before, *done]))
    return done


def _try(proof: Proof, group: str, subject: Subject, before: Sequence[Proved]) -> Proved:
    """Prove it, and say how it ended. `before` is what was proved of the same machine already."""
    if any(each.name == proof.needs and each.failure for each in before):
        return Proved(group, proof.name, 0.0, f"Not tried, for {proof.needs!r} failed", proof.hint, tried=False)
    started = time.monotonic()
    failure, seen = None, ""
    try:
        check_running(subject.machine)
        seen = proof.prove(subject) or ""
    except (NotYetError, JupyterError, ProvisionError) as exc:
        failure = f"{proof.meaning}: {exc}."
    return Proved(group, proof.name, time.monotonic() - started, failure, proof.hint if failure else "", seen)


def _settings(trial: Trial, drive: Path | None) -> Settings:
    machine = trial.course.machine
    return Settings(
        trial.disk,
        trial.form,
        memory=machine.memory_mb,
        cpus=machine.vcpus if trial.kvm else max(machine.vcpus, EMULATED_CPUS),
        kvm=trial.kvm,
        ports=(SSH_PORT, HTTP_PORT, HTTPS_PORT),
        restricted=True,
        wired=True,
        drive=drive,
    )


def _subject(trial: Trial, machine: Machine, password: str, key: str) -> Subject:
    expected = expected_of(trial.course)
    write_private(machine.folder / "key", key)
    access = Access(
        address="127.0.0.1",
        user=expected.user,
        password=password,
        key=machine.folder / "key",
        host_alias=machine.folder.name,
        known_hosts=machine.folder / "known_hosts",
        tls=expected.tls,
        web_port=machine.ports[HTTPS_PORT if expected.tls else HTTP_PORT],
        ssh_port=machine.ports[SSH_PORT],
    )
    browser = Jupyter(access.url, trusted=not access.tls)
    return Subject(machine, access, expected, browser, time.monotonic() + trial.patience)


def _prove_second_run(trial: Trial, before: Sequence[Proved], phase: Phase) -> Proved:
    """On the disk of a machine that has booted, as on a live one: here it takes seconds, in an emulated one minutes."""
    if _is_down(before):
        words = "Not tried, for the machine did not boot"
        return Proved(UNCLAIMED, SECOND_RUN, 0.0, words, SECOND_RUN_HINT, tried=False)
    started, failure, seen = time.monotonic(), None, ""
    try:
        played = _play_again(trial, phase)
        seen = f"{played.tasks} tasks"
        if played.changed:
            failure = f"A second run of the roles changes the machine: {', '.join(played.changed)}."
    except ProvisionError as exc:
        failure = f"A second run of the roles fails: {exc}"
    return Proved(UNCLAIMED, SECOND_RUN, time.monotonic() - started, failure, SECOND_RUN_HINT if failure else "", seen)


def _play_again(trial: Trial, phase: Phase) -> Played:
    work = trial.folder / "second"
    work.mkdir(mode=0o700)
    raw = work / "disk.raw"
    phase.note("reading its disk")
    overlay = trial.folder / UNCLAIMED / "overlay.qcow2"
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", overlay, raw], deadline=1800)
    for name in ("lent", "keys"):
        (work / name).mkdir(mode=0o700)
    with mounted(raw, work / "root") as disk:
        # A cache of its own: a bake may be using the other.
        lent = lend(work / "lent", cache_home() / "packages-verify", release_of(disk.root).codename)
        with opened_tree(disk.root, lent) as tree, ssh_settings(tree, work / "keys") as ssh_config:
            return play("configure.yml", HOST, ssh_config, role_variables(trial.course), on_task=phase.note)
