"""A guest that is baked while it runs: what it is lent, by which addresses, and which boxes are refused."""

import os
from pathlib import Path

import pytest
import requests

from provision.errors import InvalidInputError
from provision.guests.legacy import SCREEN, opened_legacy, seen_from_inside
from provision.guests.lending import Lent
from provision.guests.shelf import served
from provision.progress import Silent

PACKAGES = (Path("/srv/wheels"), Path("/srv/index"))


@pytest.mark.parametrize(
    ("name", "here", "there"),
    [
        ("http_proxy", "http://127.0.0.1:3128", "http://10.0.2.2:3128"),
        ("http_proxy", "http://me:word@localhost:3128/", "http://me:word@10.0.2.2:3128/"),
        ("http_proxy", "http://proxy.example.org:3128", "http://proxy.example.org:3128"),
        ("no_proxy", "localhost,127.0.0.1", "localhost,127.0.0.1"),
        ("PIP_FIND_LINKS", "/srv/wheels", "http://10.0.2.2:8000/srv/wheels/"),
        (
            "PIP_EXTRA_INDEX_URL",
            "file:///srv/index/simple https://pypi.example.org/simple",
            "http://10.0.2.2:8000/srv/index/simple/ https://pypi.example.org/simple",
        ),
        ("PIP_CERT", "/run/provision/lent/certificates.pem", "/run/provision/lent/certificates.pem"),
    ],
)
def test_what_is_here_has_another_address_there(name: str, here: str, there: str) -> None:
    lent = seen_from_inside(Lent({name: here}, (), Path("/lent"), PACKAGES), 8000)
    assert lent.environment[name] == there
    assert lent.environment["PIP_TRUSTED_HOST"] == "10.0.2.2"


def test_without_folders_of_packages_nothing_is_trusted() -> None:
    assert seen_from_inside(Lent({}, (), Path("/lent")), 8000).environment == {}


def test_only_the_folders_are_served(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "a.whl").write_text("wheel")
    (tmp_path / "secret").write_text("secret")
    (shelf / "link").symlink_to(tmp_path / "secret")
    with served([shelf]) as port:
        url = f"http://127.0.0.1:{port}{tmp_path}"
        assert requests.get(f"{url}/shelf/a.whl", timeout=10).text == "wheel"
        assert "a.whl" in requests.get(f"{url}/shelf/", timeout=10).text
        for path in ("/secret", "/shelf/%2e%2e/secret", "/shelf/link", "/"):
            assert requests.get(url + path, timeout=10).status_code == 404


# An ssh that answers as a box's would: the last word is what it is asked to run there.
SSH = """#!/bin/sh
for asked; do :; done
case "$asked" in
  {refused}) echo "{said}" >&2; exit {code};;
esac
"""
REFUSED = {
    "the key": ("true", "vagrant@127.0.0.1: Permission denied (publickey).", 255, "does not let vagrant in"),
    "sudo": ("sudo*true", "sh: 1: sudo: not found", 127, "may not become root by sudo"),
    "Python": ("*python3*", "", 1, "has no Python 3.8 or later"),
    "no answer": ("true", "kex_exchange_identification: Connection closed", 255, "did not start: no login by ssh"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_box_that_cannot_be_baked_is_refused_with_what_to_do(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, said, code, reason = REFUSED[case]
    (tmp_path / "ssh").write_text(SSH.format(refused=refused, said=said, code=code))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    disk, keys, lent = (tmp_path / name for name in ("disk", "keys", "lent"))
    disk.write_bytes(bytes(2**20))
    for folder in (keys, lent):
        folder.mkdir()
    machine = opened_legacy(
        disk, tmp_path / "machine", keys, Lent({}, (), lent), 8000, Silent(), kvm=False, deadline=4.0
    )
    with pytest.raises(InvalidInputError, match=reason) as caught, machine:
        pass
    assert "--bake-in tree" in str(caught.value.hint) or "Upgrade the box" in str(caught.value.hint)
    assert (tmp_path / "machine" / SCREEN).exists() == (case == "no answer")
