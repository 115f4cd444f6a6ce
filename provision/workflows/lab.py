"""The stories of the embedded cloud: up, down, reset, destroy, and how it is."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from provision import paths
from provision.errors import NotFoundError, PreflightError
from provision.guests.kvm import verdict
from provision.lab import changes, credentials, health, host, kvm, layers, machine
from provision.lab.configure import Driver, configure, configure_driver, read_driver
from provision.lab.layers import Layers, layers_of
from provision.lab.release import Release, load_release, release_names
from provision.locks import exclusive
from provision.progress import Progress

# What `destroy` may remove besides the layers, wherever PROVISION_LAB_HOME points.
FILES = ("clouds.yaml", "host.json", "lock")
FOLDERS = ("lab", "provision")

Confirm = Callable[[list[str]], None]


@dataclass(frozen=True)
class LabStatus:
    """What `lab status` shows. `acceleration` is "KVM" or "TCG", `reason` why; `fake` that no guest really runs."""

    release: str
    title: str
    acceleration: str
    reason: str
    fake: bool
    health: health.Health


def up(release_name: str, progress: Progress, confirm: Confirm, *, fake: bool = False) -> None:
    """Bring the lab up from whatever is there. `confirm` is shown the host's changes, and raises to refuse them."""
    release = load_release(release_name)
    place = layers_of(release)
    refuse_other_release(release)
    facts = host.observe_host()
    refuse_unfit_host(facts, release, place)
    refuse_other_profile(place, fake=fake)
    confirm(host.changes(facts, running=machine.supervisor(place) is not None))
    with alone(progress):
        prepare(release, place, progress, facts)
        start(release, place, progress, fake=fake)


def down(release_name: str, progress: Progress) -> None:
    """Power the machine off in order. What is in the cloud stays, and guests resume at the next `up`."""
    place = layers_of(load_release(release_name))
    require_root()
    with alone(progress):
        if machine.supervisor(place) is None:
            progress.say("The lab is not running.")
        with progress.phase("Powering off"):
            stop(place, machine.halt)


def reset(release_name: str, progress: Progress, confirm: Confirm, *, fake: bool = False) -> None:
    """Drop everything made in the cloud and bring it up pristine."""
    release = load_release(release_name)
    place = layers_of(release)
    require_root()
    if not place.state.exists():
        raise NotFoundError("There is no lab to reset.", hint="Make one with: provision lab up")
    confirm(["delete everything that was made in the lab's cloud: its servers, images, stacks and networks"])
    with alone(progress):
        with progress.phase("Dropping the state"):
            stop(place, machine.kill)
            layers.drop(place.state)
        prepare(release, place, progress, host.observe_host())
        start(release, place, progress, fake=fake)


def destroy(progress: Progress, confirm: Confirm, *, keep_cache: bool = False) -> None:
    """Take the lab and every change that it made on the host away again. `keep_cache` keeps the base layer."""
    require_root()
    home = paths.lab_home()
    if not home.exists():
        raise NotFoundError("There is no lab to destroy.")
    confirm(
        [f"stop the lab and delete {home}" + (" but for the base layer" if keep_cache else ""), *changes.undoable()]
    )
    with alone(progress):
        for place in (layers_of(load_release(name)) for name in release_names()):
            with progress.phase("Stopping the machine"):
                machine.end_strays(place.partial(place.base))
                stop(place, machine.kill)
            with progress.phase("Deleting its layers"):
                layers.remove(place, keep_base=keep_cache)
        with progress.phase("Undoing the changes on the host"):
            kept = changes.undo_changes()
        remove_home()
    for line in [*kept, *(["The base layer is kept: the next `lab up` is quicker."] if keep_cache else [])]:
        progress.say(line)


def status(release_name: str) -> LabStatus:
    """How the lab is; raises NotFoundError where none runs."""
    release = load_release(release_name)
    place = layers_of(release)
    require_root()
    observed = health.observe_health(release, place)
    driver = read_driver(place.state / "upper") or Driver()
    _, reason = verdict() or (False, "not tried since the host's boot")
    return LabStatus(release.name, release.title, "KVM" if driver.kvm else "TCG", reason, driver.fake, observed)


def become_logs(release_name: str, service: str | None, *, follow: bool, lines: int) -> None:
    """Replace this process by the journal of one service of the lab, or of all."""
    release = load_release(release_name)
    require_root()
    known = [*(one.name for one in release.services), *machine.UNITS]
    if service and service not in known:
        raise NotFoundError(f"The lab has no service {service}.", hint=f"Use one of: {', '.join(known)}.")
    options = [*([f"--unit={service}"] if service else []), *(["--follow"] if follow else [])]
    machine.become_inside(layers_of(release), "journalctl", "--no-pager", f"--lines={lines}", *options)


def become_command(release_name: str, command: Sequence[str]) -> None:
    """Replace this process by `command`, run in the lab's machine as root."""
    require_root()
    machine.become_inside(layers_of(load_release(release_name)), *command)


def prepare(release: Release, place: Layers, progress: Progress, facts: host.HostFacts) -> None:
    """Make what a start needs and what is not there yet. A cloud in use stays as it is: a reset renews its layers."""
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if facts.packages_missing or facts.modules_to_load:
        with progress.phase("Preparing the host"):
            changes.make_changes(facts)
    if place.state.exists() and layers.made_from(place.base) and (digest := layers.made_from(place.pristine)):
        if digest != release.digest():
            progress.say("This cloud was made by another version of provision. To renew it: provision lab reset")
        return
    if layers.made_from(place.base) != release.base_digest():
        make_base(release, place, progress)
    if layers.made_from(place.pristine) != release.digest():
        make_pristine(release, place, progress)


def make_base(release: Release, place: Layers, progress: Progress) -> None:
    """Install the release's packages into a tree of their own."""
    with progress.phase(f"Installing OpenStack {release.title} into the base layer") as phase:
        machine.end_strays(place.partial(place.base))
        stop(place, machine.kill)
        layers.discard(place, place.pristine)
        layers.build_base(release, place, phase.note)


def make_pristine(release: Release, place: Layers, progress: Progress) -> None:
    """Configure the base, boot it once to fill its databases, and freeze what that changed."""
    stop(place, machine.kill)
    layers.drop(place.state)
    layers.discard(place, place.pristine)
    under_way = place.partial(place.pristine)
    passwords = credentials.new_secrets()
    with progress.phase("Configuring"):
        layers.mount(place, [place.base], under_way)
        paths.write_private(under_way / "secrets.json", json.dumps(passwords))
        configure(release, passwords, place.root)
    boot(place, progress, "First boot: databases and contents")
    with progress.phase("Freezing the pristine layer"):
        stop(place, machine.halt)
        layers.forget_journal(under_way)
        layers.finish(place, place.pristine, release.digest())


def start(release: Release, place: Layers, progress: Progress, *, fake: bool) -> None:
    """Boot the machine on its state, unless it runs, and wait until the cloud answers."""
    credentials.write_clouds_file(credentials.read_secrets(place.pristine / "secrets.json"))
    if machine.supervisor(place) is None or layers.mounted_upper(place) != place.state:
        works = try_kvm(place, progress)
        stop(place, machine.kill)
        layers.mount(place, [place.pristine / "upper", place.base], place.state)
        configure_driver(release, Driver(kvm=works, fake=fake), place.root)
        with progress.phase("Starting the machine"):
            machine.boot(place)
    else:
        machine.ask_again(place)
    machine.ensure_link()
    await_cloud(place, progress, "Waiting for the cloud")


def boot(place: Layers, progress: Progress, name: str) -> None:
    """Start the machine on its mounted root and wait for the cloud in it."""
    machine.boot(place)
    machine.ensure_link()
    await_cloud(place, progress, name)


def await_cloud(place: Layers, progress: Progress, name: str) -> None:
    """A phase that ends when every service answers."""
    with progress.phase(name) as phase:
        for words in machine.wait_ready(place):
            phase.note(words)


def try_kvm(place: Layers, progress: Progress) -> bool:
    """Whether guests boot on KVM here."""
    if known := verdict():
        return known[0]
    with progress.phase("Booting a kernel on KVM") as phase:
        works, reason = kvm.probe(place)
        phase.result(reason)
    return works


def stop(place: Layers, end: Callable[[Layers], None]) -> None:
    """End the machine by `end` (in order, or at once) and unmount its root."""
    end(place)
    layers.unmount(place)


def require_root() -> None:
    """Refuse anyone else, in words."""
    if os.geteuid():
        raise PreflightError(host.NOT_ROOT)


def refuse_unfit_host(facts: host.HostFacts, release: Release, place: Layers) -> None:
    """Refuse a host that cannot carry the lab, with every reason at once."""
    running = machine.supervisor(place) is not None
    cached = facts.root and layers.made_from(place.base) == release.base_digest()
    if reasons := host.refusals(facts, running=running, cached=cached):
        raise PreflightError("\n".join(["The lab cannot come up here; nothing was changed.", *reasons]))


def refuse_other_release(release: Release) -> None:
    """Refuse to start beside a running lab of another release: they share their addresses."""
    for name in release_names():
        if name != release.name and machine.supervisor(layers_of(load_release(name))):
            raise PreflightError(f"The lab is up with release {name}.", hint=f"provision lab down --release {name}")


def refuse_other_profile(place: Layers, *, fake: bool) -> None:
    """Refuse to turn a cloud with guests into one without, or back."""
    known = read_driver(place.state / "upper") if os.geteuid() == 0 else None
    if known and known.fake != fake:
        drivers = {True: "Nova's fake driver", False: "real guests"}
        again = (
            "provision lab reset --fake" if fake else "provision lab up --fake, or begin anew with: provision lab reset"
        )
        raise PreflightError(f"This lab was started with {drivers[known.fake]}, not with {drivers[fake]}.", hint=again)


def remove_home() -> None:
    """Remove the lab's own files, and its folders if nothing is left in them."""
    home = paths.lab_home()
    for name in FILES:
        (home / name).unlink(missing_ok=True)
    for folder in (home, home.parent):
        if folder.name in FOLDERS and not any(folder.iterdir()):
            folder.rmdir()


def alone(progress: Progress) -> AbstractContextManager[None]:
    """One story at a time: a second command waits for the first."""
    return exclusive(paths.lab_home() / "lock", progress, "Waiting for another `provision lab` to finish")
