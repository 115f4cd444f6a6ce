"""What a running guest is lent: by which addresses it reaches it, and that nothing else is served."""

from pathlib import Path

import pytest
import requests

from provision.guests.legacy import seen_from_inside
from provision.guests.lending import Lent
from provision.guests.shelf import served

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
