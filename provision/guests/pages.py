"""A web application behind Jupyter's login: its page, everything that the page links to, and who may see it."""

from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

import requests

from provision.guests.jupyter import Jupyter
from provision.guests.probes import NotYetError, until

ELSEWHERE = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
_ASSETS = {"script": "src", "img": "src", "link": "href"}
_NO_ASSETS = {"canonical", "alternate", "preconnect", "dns-prefetch"}


class _Links(HTMLParser):
    """Collects what a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        link = values.get(_ASSETS.get(tag, ""))
        if link and not _NO_ASSETS & set((values.get("rel") or "").split()):
            self.found.append(link)


def assets(page: str, place: str) -> list[str]:
    """The URLs that the HTML `page` from `place` loads from its own server, each once."""
    parser = _Links()
    parser.feed(page)
    urls = (urldefrag(urljoin(place, link)).url for link in parser.found)
    return [url for url in dict.fromkeys(urls) if urlsplit(url).netloc == urlsplit(place).netloc]


def prove_application(browser: Jupyter, path: str, end: float) -> str:
    """Prove that the application at `path` (such as "openrefine") is there for who is signed in, and for nobody else.

    Waits until `end` (of time.monotonic) for its page. Returns what was seen, in a few words.
    """
    stranger = Jupyter(browser.url, trusted=browser.trusted)
    _prove_login_page(stranger, f"{path}/")
    page = _await_page(browser, f"{path}/", end)
    if urlsplit(browser.request("GET", path).url).path != urlsplit(page.url).path:
        raise NotYetError(f"/{path} without a slash at its end does not lead to its page")
    links = assets(page.text, page.url)
    for url in links:
        answer = browser.request("GET", url.removeprefix(browser.url))
        if answer.status_code != requests.codes.ok or _is_login(answer):
            raise NotYetError(f"{urlsplit(url).path}, which its page loads, answered {answer.status_code}")
    for url in links[:1]:
        _prove_login_page(stranger, url.removeprefix(browser.url))
    _prove_same_site(browser, page.url.removeprefix(browser.url))
    return f"{len(links)} linked files"


def _await_page(browser: Jupyter, path: str, end: float) -> requests.Response:
    pages: list[requests.Response] = []

    def attempt() -> None:
        answer = browser.request("GET", path)
        if answer.status_code != requests.codes.ok or _is_login(answer):
            raise NotYetError(f"/{path} answered {answer.status_code} at {urlsplit(answer.url).path}")
        pages.append(answer)

    until(end, attempt)
    return pages[0]


def _prove_login_page(stranger: Jupyter, path: str) -> None:
    answer = stranger.request("GET", path)
    if not _is_login(answer):
        raise NotYetError(f"/{path} answered {answer.status_code} to a stranger, and not with the login page")


def _is_login(answer: requests.Response) -> bool:
    return urlsplit(answer.url).path == "/login" and 'name="password"' in answer.text


def _prove_same_site(browser: Jupyter, path: str) -> None:
    answer = browser.request("POST", path, headers=ELSEWHERE, allow_redirects=False)
    if answer.status_code != requests.codes.forbidden:
        raise NotYetError(f"/{path} answered {answer.status_code} to another site's page, and not 403")
