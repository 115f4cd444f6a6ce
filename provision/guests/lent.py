"""This computer's way to packages, lent to a machine that has no route out: apt and pip, while a command runs.

A proxy here (guests/lent_proxy.py), a port of the machine's loopback that leads to it through ssh, and three files
there that say so. They are gone when the connection is, whoever ended it; what is left all the same, the next run takes
away.
"""

import re
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from provision.errors import CommandError
from provision.guests.lending import pip_settings
from provision.guests.lent_proxy import HERE, USER, Lending, Place, place_of
from provision.guests.tunnel import LOOK, Tunnel, lend_port, through
from provision.process import run, running

INDEX = 10.0  # seconds until an index says where its files are
START = 60.0  # seconds until the machine has put the files in place
_URLS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
_KEPT = (*_URLS, "PIP_TRUSTED_HOST")
_INDEXED = {"no-index": "false"}  # a course that installs offline says that there is none (roles/offline)
_DEFAULT = re.compile(r"--index-url\b.*?\(default\s+(https?://\S+?)\)", re.DOTALL)


@dataclass(frozen=True)
class Sources:
    """Where this computer gets packages from: the places, and pip's settings that name them."""

    places: frozenset[Place]
    pip: Mapping[str, str]


@dataclass(frozen=True)
class Lent:
    """What a machine was lent ("pip", "apt"), and the file there that a shell reads to use it at once."""

    what: tuple[str, ...]
    environment: str


def find_sources(more: Collection[str] = ()) -> Sources:
    """What apt and pip are told on this computer, with the hosts `more` (HOST or HOST:PORT) beside them.

    A machine never says where it wants to go. Folders of packages and what wants a password are not lent.
    """
    said = pip_settings()
    pip = {name: known for name in _URLS if (known := " ".join(filter(_is_open, said.get(name, "").split())))}
    if trusted := said.get("PIP_TRUSTED_HOST"):
        pip["PIP_TRUSTED_HOST"] = trusted
    indexes = [url for name in _URLS for url in pip.get(name, "").split()]
    if "PIP_INDEX_URL" not in said:
        indexes += _default_index()
    urls = [*indexes, *_apt_archives(), *(url for index in indexes for url in _files_of(index))]
    named = {(host, int(port)) for each in more for host, _, port in [each.partition(":")] if port.isdigit()}
    plain = {(each, port) for each in more if ":" not in each for port in (80, 443)}
    return Sources(frozenset({place for url in urls if (place := place_of(url))} | named | plain), pip)


def _is_open(url: str) -> bool:
    return url.startswith(("http://", "https://")) and urlsplit(url).username is None


def _default_index() -> list[str]:
    """The index that pip takes when it is told none, in its own words."""
    helped = run([sys.executable, "-m", "pip", "install", "--help"], deadline=60, check=False)
    found = _DEFAULT.search(" ".join(helped.stdout.split()))
    return [found[1]] if found else []


def _apt_archives() -> list[str]:
    with suppress(CommandError):  # not every computer has apt
        return run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], deadline=60).stdout.split()
    return []


class _Links(HTMLParser):
    """Collects where a page leads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _files_of(index: str) -> list[str]:
    """Where an index keeps its files, which may be another host: the index says it of pip itself, which all have."""
    page = index.rstrip("/") + "/pip/"
    try:
        answer = requests.get(page, timeout=INDEX, headers={"Accept": "text/html"})
        answer.raise_for_status()
    except requests.RequestException:
        return []
    links = _Links()
    links.feed(answer.text)
    return sorted({urljoin(answer.url, urlsplit(link)._replace(path="/").geturl()) for link in links.found})


@contextmanager
def lend(tunnel: Tunnel, lending: Lending, sources: Sources) -> Iterator[Callable[[], Lent | None]]:
    """Have the machine at the end of a tunnel that stands use the proxy, while the context lasts.

    Yields what says whether it does still: None once the connection is gone.
    """
    port, word = lend_port(tunnel, lending.port), secrets.token_hex(4)
    proxy = f"http://{USER}:{lending.password}@{HERE}:{port}"
    script = (Path(__file__).parent / "keeper.sh").read_text()
    command = through(tunnel, f"RUN={word} sh -c {shlex.quote(script)}")
    output = tunnel.log.with_suffix(".lent")
    try:
        with running(command, output=output, stdin=_files(word, proxy, sources.pip)) as poll:
            lent = _await(output, poll)
            yield lambda: lent if poll() is None else None
    finally:
        output.unlink(missing_ok=True)


def _files(word: str, proxy: str, pip: Mapping[str, str]) -> str:
    """The files for a shell, for pip and for apt, as the keeper reads them."""
    mark = f"lent by provision, run {word}"
    shell = [f"export {name}={shlex.quote(proxy)}" for each in ("http", "https") for name in _both(f"{each}_proxy")]
    shell += [f"export {name}={shlex.quote(value)}" for name, value in {"PIP_NO_INDEX": "false", **pip}.items()]
    told = {name.removeprefix("PIP_").lower().replace("_", "-"): value for name, value in pip.items() if name in _KEPT}
    told = {"proxy": proxy, **_INDEXED, **told}
    settings = ["[global]", *(f"{name} = {value}" for name, value in told.items())]
    apt = [f'Acquire::{each}::Proxy "{proxy}";' for each in ("http", "https")]
    files = ([f"# {mark}", *shell], [f"# {mark}", *settings], [f"// {mark}", *apt])
    return "".join("".join(f"{line}\n" for line in (*lines, ".")) for lines in files)


def _both(name: str) -> tuple[str, str]:
    return name, name.upper()


def _await(output: Path, poll: Callable[[], int | None]) -> Lent:
    end = time.monotonic() + START
    while time.monotonic() < end:
        ended = poll() is not None
        for line in output.read_text(errors="replace").splitlines():
            if found := re.fullmatch(r"lent:(.*) in (/.*)", line):
                return Lent(tuple(found[1].split()), f"{found[2]}/env")
        if ended:
            break
        time.sleep(LOOK)
    said = output.read_text(errors="replace").strip().splitlines()
    raise CommandError(f"The machine did not take what was lent: {said[-1] if said else 'it said nothing'}")
