"""The one place between students and the cloud: their ids on this side, what the cloud may know of them on the other.

A private cohort's labels are made with a key that is written once, beside the handouts, before the first machine. No
other key is ever taken for machines that it named: that would give every student a second one.
"""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cloud.stacks import observe_stacks
from provision.core.naming import cohort_tag
from provision.core.plan import Stack
from provision.core.privacy import KEY_BYTES, LABEL, Labels, recognised
from provision.errors import InvalidInputError, PreflightError
from provision.paths import write_private
from provision.workflows.handouts import prepare_folder, read_handouts

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


def read_labels(private: bool, folder: Path, students: Iterable[str] = ()) -> Labels:
    """What students are called: `students`, and those of a private cohort who have a handout in the folder.

    Where there is no key yet, they are called by a new one, which `keep_key` writes down.
    """
    if not private:
        return Labels(students=tuple(students))
    place = key_file(folder)
    key = _read_key(place) if place.exists() else secrets.token_bytes(KEY_BYTES)
    return Labels(key, tuple(dict.fromkeys([*students, *read_handouts(folder)])), str(place))


def labels_if_any(private: bool, folder: Path) -> Labels:
    """As read_labels, where nothing depends on it: what cannot be read is as if it were not there."""
    try:
        return read_labels(private, folder)
    except InvalidInputError:
        return Labels()


def key_file(folder: Path) -> Path:
    """Where a private cohort's key is."""
    return folder / "privacy.key"


def keep_key(labels: Labels, folder: Path) -> None:
    """Write a new key down, before any machine that it names is asked for. One that is there is never replaced."""
    place = key_file(folder)
    if labels.key is None:
        return
    if not place.exists():
        prepare_folder(folder)
        _write_new(place, labels.key.hex() + "\n")
    if _read_key(place) != labels.key:
        raise PreflightError(f"Another launch has made {place} in this moment.", hint="Run the same command again.")


def observe_cohort(connection: "Connection", cohort: str, labels: Labels) -> tuple[Stack, ...]:
    """All stacks of a cohort by one call, with their students' ids. Raises PreflightError if another key named some."""
    stacks = observe_stacks(connection, cohort_tag(cohort))
    strange = [stack for stack in stacks if not labels.named(stack.student)]
    if strange:
        raise _strange(cohort, labels, strange, len(stacks))
    return recognised(stacks, labels)


def _write_new(place: Path, text: str) -> None:
    """Write a private file, complete or not at all; if it is there by now, it stays as it is."""
    new = place.with_name(f".{place.name}.new.{os.getpid()}")
    write_private(new, text)
    with suppress(FileExistsError):
        os.link(new, place)  # unlike a rename, it never replaces
    new.unlink()


def _read_key(place: Path) -> bytes:
    try:
        key = bytes.fromhex(place.read_text(encoding="ascii"))
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInputError(
            f"{place} does not hold a private cohort's key: {2 * KEY_BYTES} hexadecimal digits.",
            hint="Put it back from a backup. Without it nobody can say whose the cohort's machines are.",
        )
    return key


def _strange(cohort: str, labels: Labels, strange: list[Stack], total: int) -> PreflightError:
    """Why machines that cannot be told stop everything, and what to do."""
    count = f"{len(strange)} of the {total} machines of {cohort}"
    means = "A launch would give their students a second machine each, so nothing is done."
    if labels.key is None:
        return PreflightError(
            f"{count} were launched with privacy = true, which cohort.toml does not say. {means}",
            hint="Write privacy = true again; to change it, delete the cohort first.",
        )
    if not any(LABEL.fullmatch(stack.student) for stack in strange):
        return PreflightError(
            f"{count} were launched with privacy = false, and bear their students' ids. {means}",
            hint="Write privacy = false again; to change it, delete the cohort first.",
        )
    held = "which holds another" if Path(labels.place).exists() else "which is not there"
    return PreflightError(
        f"{count} were named with a key that is not in {labels.place}, {held}. {means}",
        hint="Name the folder of the launch that made them (--handout), or put the key back from a backup. If it is "
        "lost, nobody can say whose they are: provision cohort delete, then launch again.",
    )
