"""The bake: the roles run on a copy of the box's disk, mounted here or booted in a machine, whichever can be done."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from provision.core.bakefailures import explain
from provision.disks.resize.mount import Mounted, mounted
from provision.errors import CommandError, InvalidInputError, PreflightError, ProvisionError
from provision.guests import contents
from provision.guests.emulator import PROGRAMS as MACHINE_PROGRAMS
from provision.guests.generalise import generalise
from provision.guests.legacy import SCREEN, opened_legacy, quiet
from provision.guests.lending import Lent, lend
from provision.guests.playbooks import play
from provision.guests.shelf import served
from provision.guests.shell import Shell
from provision.guests.tree import HOST, opened_tree, release_of, ssh_settings
from provision.paths import cache_home
from provision.process import find_program
from provision.progress import Progress
from provision.workflows.accelerator import ensure_known

TREE, MACHINE = "tree", "machine"
CONTENTS = "contents.json"
BOOT_SECONDS = {True: 300.0, False: 1200.0}  # with and without KVM
LIST_SECONDS = 600.0
FULL = 2**26  # bytes; with less than that left on this computer, a bake's failures are of that
TREE_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "partx": "util-linux",
    "losetup": "mount",
}


def where_to_bake(asked: str | None) -> str:
    """Where a bake is done: as `asked`; else in the mounted tree for root, who may mount it, else in a machine."""
    return asked or (TREE if os.geteuid() == 0 else MACHINE)


def bake(
    disk: Path, folder: Path, asked: str | None, codename: str, variables: Mapping[str, object], progress: Progress
) -> None:
    """Bake the raw `disk` in place, and leave what is inside as contents.json in `folder`.

    `asked` is tree, machine, or None for what is possible. Raises ProvisionError with the meaning of what went wrong.
    """
    scratch = folder / "scratch"
    scratch.mkdir(mode=0o700)
    try:
        with _explained(folder):
            listed = _bake(disk, scratch, asked, codename, variables, progress)
        (folder / CONTENTS).write_text(json.dumps(listed, indent=1) + "\n")
    finally:
        if (screen := scratch / "machine" / SCREEN).exists():
            screen.replace(folder.parent / SCREEN)
            progress.say(f"What its screen showed is in {folder.parent / SCREEN}.")
    shutil.rmtree(scratch)


def _bake(
    disk: Path, scratch: Path, asked: str | None, codename: str, variables: Mapping[str, object], progress: Progress
) -> object:
    lent_folder = scratch / "lent"
    lent_folder.mkdir(mode=0o700)
    lent = lend(lent_folder, cache_home() / "packages", codename)
    folders = _folders(variables)
    if where_to_bake(asked) == TREE:
        try:
            return _bake_tree(disk, scratch, lent, folders, variables, progress)
        except _CannotMountError as exc:
            if asked or not all(map(find_program, MACHINE_PROGRAMS)):
                raise InvalidInputError(exc.message, hint=exc.hint) from exc
            progress.say(f"{exc.message} It is baked in a machine instead.")
    return _bake_machine(disk, scratch, lent, folders, variables, progress)


class _CannotMountError(ProvisionError):
    """The disk cannot be mounted here; nothing was done to it."""


@contextmanager
def _mounted(disk: Path, place: Path) -> Iterator[Mounted]:
    entered = False
    try:
        with mounted(disk, place) as found:
            entered = True
            yield found
    except InvalidInputError as exc:
        if entered:
            raise
        raise _CannotMountError(exc.message, hint=exc.hint) from exc


def _bake_tree(
    disk: Path, scratch: Path, lent: Lent, folders: Sequence[str], variables: Mapping[str, object], progress: Progress
) -> object:
    """In a systemd container on the mounted disk: at native speed, nothing of it booted."""
    with _mounted(disk, scratch / "root") as found, _short_folder() as keys:
        release_of(found.root)  # refuses what cannot be baked
        with opened_tree(found.root, lent, _devices(found)) as tree:
            with ssh_settings(tree, keys) as ssh_config:
                _play(ssh_config, variables, progress, "in a container")
            listed = _list(tree, folders, progress)
            with progress.phase("Generalising"):
                generalise(tree)
    return listed


def _bake_machine(
    disk: Path, scratch: Path, lent: Lent, folders: Sequence[str], variables: Mapping[str, object], progress: Progress
) -> object:
    """In a QEMU machine that looks like VirtualBox's: any disk that boots, without root."""
    on_kvm = ensure_known(disk, progress)
    with (
        served(lent.packages) as port,
        _short_folder() as keys,
        opened_legacy(
            disk, scratch / "machine", keys, lent, port, progress, kvm=on_kvm, deadline=BOOT_SECONDS[on_kvm]
        ) as guest,
    ):
        _play(guest.ssh_config, variables, progress, "in a machine")
        listed = _list(guest, folders, progress)
        with progress.phase("Generalising"):
            quiet(guest)
            generalise(guest)
    return listed


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A private folder for the bake's keys and ssh's socket, whose name may have 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        yield Path(folder)


def _play(ssh_config: Path, variables: Mapping[str, object], progress: Progress, where: str) -> None:
    with progress.phase(f"Baking {where}") as phase:
        played = play("bake.yml", HOST, ssh_config, variables, on_task=phase.note)
        phase.result(f"{played.tasks} tasks, {len(played.changed)} changed something")


def _list(guest: Shell, folders: Sequence[str], progress: Progress) -> object:
    with progress.phase("Listing what is inside") as phase:
        program = Path(contents.__file__).read_text()
        words = " ".join(f"'{folder}'" for folder in folders)
        listed = json.loads(
            guest.run_script(f"python3 - {words} <<'PROGRAM'\n{program}\nPROGRAM\n", deadline=LIST_SECONDS)
        )
        phase.result(f"{len(listed['packages'])} packages, {len(listed['pip'])} of pip, {len(listed['files'])} files")
    return listed


def _folders(variables: Mapping[str, object]) -> tuple[str, ...]:
    """The course's folders in the student's home."""
    names = variables["course_user_folders"]
    return tuple(f"/home/{variables['course_user_name']}/{name}" for name in (names if isinstance(names, list) else ()))


def _devices(disk: Mounted) -> tuple[tuple[Path, str], ...]:
    """What update-grub looks at; without the by-uuid name the menu would say root=/dev/loop0p1."""
    return (
        (disk.disk, str(disk.disk)),
        (disk.partition, str(disk.partition)),
        (disk.partition, f"/dev/disk/by-uuid/{disk.uuid}"),
    )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Add to a failure what it means and what to do, where that is known."""
    try:
        yield
    except CommandError as exc:
        if (free := shutil.disk_usage(folder).free) < FULL:
            raise PreflightError(
                f"This computer's disk is full: {free >> 20} MiB are left at {folder.parent}.\n{exc.message}",
                hint="Make room, or name another place with XDG_CACHE_HOME, and run the same command again.",
            ) from exc
        if known := explain(exc.message):
            raise CommandError(f"{known.meaning} The bake stopped.\n{exc.message}", hint=known.hint) from exc
        raise
