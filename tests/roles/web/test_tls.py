"""TLS with a key of the machine's own, and with a certificate that was brought."""

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from requests.adapters import HTTPAdapter

from provision.guests.jupyter import Jupyter
from provision.guests.playbooks import Played
from tests.roles.container import Container, booted
from tests.roles.web.conftest import on_network_of, visit, wait_until_ready
from tests.roles.web.tree import PASSWORD, VARIABLES, give, opened

NAME = "tm351.example.ac.uk"
URL = f"https://{NAME}/"
TLS = {**VARIABLES, "nginx_proxy_tls": "own", "nginx_proxy_name": NAME}


class Here(HTTPAdapter):
    """Connects to this machine whatever the address; TLS still asks for the name's certificate."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        request.headers["Host"] = NAME
        request.url = str(request.url).replace(NAME, "127.0.0.1", 1)
        self.poolmanager.connection_pool_kw.update(server_hostname=NAME, assert_hostname=NAME)
        answer = super().send(request, *args, **options)
        answer.url = str(answer.url).replace("127.0.0.1", NAME, 1)
        return answer


@pytest.fixture(scope="module")
def encrypted(web_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Container, Path]]:
    """The machine with TLS, and its tree, a copy: the role is played on it again."""
    folder = tmp_path_factory.mktemp("tls")
    root = folder / "root"
    subprocess.run(["cp", "--archive", "--reflink=auto", web_root, root], check=True)
    with opened(root, folder / "play") as run:
        run(["nginx_proxy"], TLS)
        assert run(["nginx_proxy"], TLS).changed == ()
        assert put_by(run, root) == {"certificate.pem": ("certificate\n", 0o644), "key.pem": ("key\n", 0o600)}
    assert not list(root.glob("var/lib/provision-tls/*")), "an image holds no key"
    give(root)
    with booted(root) as machine, on_network_of(machine):
        wait_until_ready()
        yield machine, root
    shutil.rmtree(root)


def put_by(run: Callable[[list[str], Mapping[str, object]], Played], root: Path) -> dict[str, tuple[str, int]]:
    """The certificate of a course and its key, where nginx takes them from, and their modes; they are removed again."""
    brought = {**TLS, "nginx_proxy_certificate": "certificate\n", "nginx_proxy_certificate_key": "key\n"}
    run(["nginx_proxy"], brought)
    assert run(["nginx_proxy"], brought).changed == ()
    assert run(["nginx_proxy"], TLS).changed == (), "who is not told of it leaves it"
    files = list((root / "etc/provision/tls").iterdir())
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in files}
    for path in files:
        path.unlink()
    return found


@pytest.fixture
def browser(encrypted: tuple[Container, Path]) -> Jupyter:
    """A browser that believes the machine's own certificate, and no other."""
    jupyter = Jupyter(URL)
    jupyter.http.mount("https://", Here())
    jupyter.http.trust_env = False  # REQUESTS_CA_BUNDLE would win
    jupyter.http.verify = str(encrypted[1] / "var/lib/provision-tls/certificate.pem")
    return jupyter


def certificate() -> x509.Certificate:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", 443)).encode())


def test_the_student_signs_in_over_tls(browser: Jupyter, encrypted: tuple[Container, Path]) -> None:
    assert browser.sign_in(PASSWORD)
    page = browser.http.get(f"{URL}openrefine/", headers={"Sec-Fetch-Site": "same-origin"})
    assert (page.status_code, "OpenRefine" in page.text) == (200, True)
    login = browser.http.get(f"{URL}login?next=/")
    assert "not encrypted" not in login.text
    assert "Strict-Transport-Security" not in page.headers
    assert {cookie.secure for cookie in browser.http.cookies if cookie.name.startswith("username-")} == {True}
    key = encrypted[1] / "var/lib/provision-tls/key.pem"
    assert key.stat().st_mode & 0o077 == 0


def test_plain_http_leads_to_tls(encrypted: tuple[Container, Path]) -> None:
    answer = visit("lab?a=1", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://127.0.0.1/lab?a=1")
    assert visit("healthz").json()["jupyter"] == "ready"


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_protocols_are_refused(encrypted: tuple[Container, Path], version: str) -> None:
    command = ["openssl", "s_client", "-connect", "127.0.0.1:443", version, "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "alert protocol version" in done.stderr


@pytest.mark.parametrize("unit", ["provision-tls", "nginx"])
def test_our_units_are_hardened(encrypted: tuple[Container, Path], unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", f"--root={encrypted[1]}"]
    done = subprocess.run([*command, f"{unit}.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_brought_certificate_takes_its_place(encrypted: tuple[Container, Path], browser: Jupyter) -> None:
    machine, root = encrypted
    place = root / "etc/provision/tls"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=brought", "-days", "2"]
    files = ["-keyout", f"{place}/key.pem", "-out", f"{place}/certificate.pem"]
    subprocess.run([*make, "-addext", f"subjectAltName=DNS:{NAME}", *files], check=True, capture_output=True)
    machine.run("systemctl", "restart", "provision-tls")
    assert certificate().subject.rfc4514_string() == "CN=brought"
    browser.http.verify = str(place / "certificate.pem")
    assert browser.http.get(f"{URL}login").headers["Strict-Transport-Security"] == "max-age=31536000"
