"""KVM is used only where a kernel was seen to boot on it, which is asked once per boot of the host."""

from pathlib import Path

import pytest

from provision.guests import kvm


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a device, whose cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kvm, "DEVICE", tmp_path)
    return tmp_path / "provision" / "kvm.json"


def test_a_kernel_that_reaches_its_panic_proves_it_for_this_boot(host: Path) -> None:
    assert kvm.verdict() is None
    assert kvm.probe("vmlinuz", lambda _: ["echo", "VFS: Unable to mount root fs on"])[0]
    assert kvm.probe("vmlinuz", lambda _: ["false"]) == (True, "a kernel booted on it")
    host.write_text(host.read_text().replace('"boot": "', '"boot": "another-'))
    assert kvm.verdict() is None


def test_a_kernel_that_says_nothing_proves_that_it_hangs() -> None:
    works, reason = kvm.probe("vmlinuz", lambda _: ["sleep", "0"])
    assert not works
    assert "did not boot" in reason
    assert kvm.verdict() == (works, reason)


def test_no_qemu_is_no_kvm() -> None:
    assert not kvm.probe("vmlinuz", lambda _: ["/none/qemu"])[0]


def test_without_a_device_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "none")
    assert kvm.probe("vmlinuz", lambda _: ["echo", kvm.PROOF]) == (False, "no /dev/kvm")


def test_the_kernel_is_started_on_kvm_with_nothing_but_a_console(tmp_path: Path) -> None:
    kvm.probe("/boot/vmlinuz", lambda command: ["sh", "-c", 'echo "$@" > "$0"', tmp_path / "said", *command])
    said = (tmp_path / "said").read_text()
    assert "accel=kvm" in said
    assert "-kernel /boot/vmlinuz -append console=ttyS0" in said
