"""Whether the lab can come up here, and what it would change: decided from facts alone."""

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from provision.lab.host import GIB, HostFacts, changes, observe_host, refusals

GOOD = HostFacts(memory=8 * GIB, disk=40 * GIB, routes=((IPv4Network("192.0.2.0/24"), "eth0"),))

UNFIT = [
    ({"root": False}, "only root"),
    ({"machine": "aarch64"}, "this is aarch64"),
    ({"apt": False, "packages_missing": ("mmdebstrap",)}, "lacks mmdebstrap"),
    ({"tun": False}, "/dev/net/tun"),
    ({"modules_missing": frozenset({"vxlan", "bridge"})}, "no bridge and vxlan"),
    ({"modules_missing": frozenset({"overlay"})}, "no overlay"),
    ({"memory": 3 * GIB}, "3.0 GiB of memory"),
    ({"disk": 5 * GIB}, "5.0 GiB is free"),
    ({"routes": ((IPv4Network("172.24.0.0/16"), "docker0"),)}, "172.24.0.0/16 is on docker0"),
]

FIT = [
    {},
    {"apt": False},
    {"tun": False, "modules_to_load": ("tun",)},
    {"modules_missing": frozenset({"xt_set"})},
    {"packages_missing": ("mmdebstrap",)},
    {"routes": ((IPv4Network("0.0.0.0/0"), "eth0"),)},
]


@pytest.mark.parametrize(("observed", "reason"), UNFIT)
def test_an_unfit_host_is_refused_in_one_sentence(observed: dict[str, object], reason: str) -> None:
    found = refusals(replace(GOOD, **observed), running=False, cached=False)  # type: ignore[arg-type]  # facts by name
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize("observed", FIT)
def test_a_fit_host_is_not(observed: dict[str, object]) -> None:
    assert refusals(replace(GOOD, **observed), running=False, cached=False) == []  # type: ignore[arg-type]  # likewise


def test_all_reasons_are_said_at_once() -> None:
    unfit = replace(GOOD, root=False, memory=GIB, disk=GIB)
    assert len(refusals(unfit, running=False, cached=False)) == 3


def test_a_running_lab_has_its_memory_and_addresses_already() -> None:
    full = replace(GOOD, memory=GIB, disk=GIB, routes=((IPv4Network("172.24.4.0/24"), "other"),))
    assert refusals(full, running=True, cached=True) == []


def test_a_cached_base_needs_less_disk() -> None:
    small = replace(GOOD, disk=5 * GIB)
    assert refusals(small, running=False, cached=True) == []


def test_the_changes_name_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_LAB_HOME", str(tmp_path / "lab"))
    bare = replace(GOOD, packages_missing=("mmdebstrap", "systemd-container"), modules_to_load=("vxlan",))
    listed = "\n".join(changes(bare, running=False))
    for word in ("mmdebstrap and systemd-container", "vxlan", str(tmp_path), "lab0", "172.24.4.1"):
        assert word in listed


def test_a_running_lab_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_LAB_HOME", str(tmp_path))
    assert changes(GOOD, running=True) == []


def test_this_host_can_be_observed() -> None:
    facts = observe_host()
    assert facts.memory > 0
    assert facts.disk > 0
    assert not {name for name in facts.modules_to_load if name in facts.modules_missing}
