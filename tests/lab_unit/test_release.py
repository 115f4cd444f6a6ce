"""Each release's data is whole: it renders, and its secrets stay in files that others cannot read."""

import configparser
import json
import re

import pytest

from provision.errors import NotFoundError
from provision.lab.configure import DRIVER, Driver, render
from provision.lab.credentials import clouds_yaml, new_secrets
from provision.lab.release import Release, load_release, release_names

SECRETS = {name: f"secret-of-{name}" for name in new_secrets()}
PUBLIC_MODE = "0644"


@pytest.fixture(params=release_names())
def release(request: pytest.FixtureRequest) -> Release:
    return load_release(request.param)


@pytest.fixture
def files(release: Release) -> dict[str, str]:
    return dict(render(release, SECRETS, Driver()))


def test_a_release_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(NotFoundError) as caught:
        load_release("yoga")
    assert "zed" in str(caught.value.hint)


def test_packages_are_names_without_comments(release: Release) -> None:
    assert {"keystone", "heat-engine"} <= set(release.packages())
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in release.packages())
    assert len(set(release.packages())) == len(release.packages())


def test_secrets_are_only_in_files_that_others_cannot_read(release: Release, files: dict[str, str]) -> None:
    bearing = {name for name, text in files.items() if "secret-of-" in text}
    assert bearing, "no file has a secret: this test would not notice a leak"
    assert {name for name in bearing if release.rule(name).mode == PUBLIC_MODE} == set()


def test_every_secret_is_used(files: dict[str, str]) -> None:
    text = "\n".join(files.values())
    assert {name for name, secret in SECRETS.items() if secret not in text} == set()


def test_no_template_is_left_unrendered(files: dict[str, str]) -> None:
    assert {name for name, text in files.items() if "{%" in text or "{{" in text} == set()


def test_configuration_files_parse(files: dict[str, str]) -> None:
    for name, text in files.items():
        if name.endswith(".conf") and name.split("/")[1] in {
            "keystone",
            "glance",
            "nova",
            "neutron",
            "heat",
            "placement",
        }:
            configparser.ConfigParser(interpolation=None).read_string(text)
    json.loads(files["etc/lab/lab.json"])


def test_scripts_are_executable_and_python_ones_compile(release: Release, files: dict[str, str]) -> None:
    scripts = {name: text for name, text in files.items() if text.startswith("#!")}
    assert {name for name in scripts if release.rule(name).mode != "0755"} == set()
    for name, text in scripts.items():
        if "python" in text.splitlines()[0]:
            compile(text, name, "exec")


def test_compute_does_not_see_the_databases(files: dict[str, str]) -> None:
    assert "database" not in configparser_of(files["etc/nova/nova-compute.conf"])
    assert "database" in configparser_of(files["etc/nova/nova.conf"])


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (Driver(), ("libvirt.LibvirtDriver", "qemu", "none", "false")),
        (Driver(kvm=True), ("libvirt.LibvirtDriver", "kvm", "host-passthrough", "false")),
        (Driver(fake=True), ("fake.FakeDriver", "qemu", "none", "true")),
    ],
)
def test_the_driver_file(release: Release, driver: Driver, expected: tuple[str, ...]) -> None:
    parsed = configparser_of(dict(render(release, SECRETS, driver))[DRIVER])
    libvirt = parsed["libvirt"]
    found = (parsed["DEFAULT"]["compute_driver"], libvirt["virt_type"], libvirt["cpu_mode"])
    assert (*found, parsed["lab"]["without_quotas"]) == expected


def test_passwords_are_new_each_time_and_heats_key_has_its_length() -> None:
    one, other = new_secrets(), new_secrets()
    assert not set(one.values()) & set(other.values())
    assert len(one["heat_encryption"]) == 32


def test_the_clouds_file_has_one_entry_a_user() -> None:
    clouds = json.loads(clouds_yaml(SECRETS))["clouds"]
    found = {name: (cloud["auth"]["username"], cloud["auth"]["password"]) for name, cloud in clouds.items()}
    assert found == {
        "lab": ("faculty", "secret-of-faculty"),
        "lab-admin": ("admin", "secret-of-admin"),
        "lab-second": ("second", "secret-of-second"),
    }


def configparser_of(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser
