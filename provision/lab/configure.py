"""The configuration of the machine: each file of a release's rootfs/ is rendered to its place in a tree."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from provision.lab import network
from provision.lab.release import Release
from provision.process import run

DRIVER = "etc/nova/driver.conf"


@dataclass(frozen=True)
class Driver:
    """What guests run on: KVM or TCG, or nothing at all behind Nova's fake driver."""

    kvm: bool = False
    fake: bool = False


def configure(release: Release, secrets: Mapping[str, str], root: Path) -> None:
    """Render the whole of rootfs/ into `root`, and enable and mask the release's units there."""
    for relative, text in render(release, secrets, Driver()):
        _write(release, relative, text, root)
    for verb, units in (("enable", release.units.enable), ("mask", release.units.mask)):
        run(["systemctl", f"--root={root}", "--quiet", verb, *units], deadline=60)


def configure_driver(release: Release, driver: Driver, root: Path) -> None:
    """Write the one file of `root` that says what guests run on."""
    text = _environment(release).get_template(DRIVER).render(kvm=driver.kvm, fake=driver.fake)
    _write(release, DRIVER, text, root)


def read_driver(upper: Path) -> Driver | None:
    """What `configure_driver` last wrote into the layer `upper`, if it did."""
    try:
        text = (upper / DRIVER).read_text()
    except FileNotFoundError:
        return None
    return Driver(kvm="virt_type = kvm" in text, fake="fake.FakeDriver" in text)


def render(release: Release, secrets: Mapping[str, str], driver: Driver) -> Iterator[tuple[str, str]]:
    """Every file of rootfs/ as (path relative to the root, text)."""
    environment = _environment(release)
    for name in environment.list_templates(filter_func=lambda name: (release.folder / "rootfs" / name).is_file()):
        yield name, environment.get_template(name).render(_variables(secrets, driver))


def _environment(release: Release) -> Environment:
    folders = [release.folder / "rootfs", release.folder / "parts"]
    return Environment(  # noqa: S701 - configuration files, not HTML: nothing to escape
        loader=FileSystemLoader(folders), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )


def _variables(secrets: Mapping[str, str], driver: Driver) -> dict[str, object]:
    return {
        "address": network.MACHINE,
        "host_address": network.HOST,
        "network": str(network.NETWORK),
        "prefix": network.NETWORK.prefixlen,
        "first": network.FIRST,
        "last": network.LAST,
        "secret": dict(secrets),
        "kvm": driver.kvm,
        "fake": driver.fake,
    }


def _write(release: Release, relative: str, text: str, root: Path) -> None:
    rule, target = release.rule(relative), root / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a link of the package's (resolv.conf) is replaced, not followed
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        os.fchown(descriptor, _number(root / "etc/passwd", rule.owner), _number(root / "etc/group", rule.group))
        os.fchmod(descriptor, int(rule.mode, 8))


def _number(accounts: Path, name: str) -> int:
    """The id of an account of the machine, not of this host."""
    lines = (line.split(":") for line in accounts.read_text().splitlines())
    return next(int(fields[2]) for fields in lines if fields[0] == name)
