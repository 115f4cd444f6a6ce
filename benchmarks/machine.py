"""What a student's machine gives through nginx: `python benchmarks/machine.py`, as root, with the tests' own tree.

Prints what was measured beside what is claimed; exits with 1 if a claim does not hold. Takes about two minutes once the
tree of tests/roles/web is there.
"""

import http.client
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import requests
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from report import Claim

from provision.guests.jupyter import Jupyter
from tests.roles.container import Container, booted
from tests.roles.web.conftest import on_network_of, wait_until_ready
from tests.roles.web.tree import PASSWORD, ensure_web_tree, extract, give

URL = "http://127.0.0.1/"
ROUNDS, TURN = 40, 50  # requests: 40 turns of 50, each way
STATIC_SECONDS, STATIC_RATE, CLIENTS = 10, 500, 8
SOCKETS = 500


def percentile(times: list[float], share: float) -> float:
    """The value that `share` of `times` do not exceed."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def timed_gets(connection: http.client.HTTPConnection, count: int, path: str) -> Iterator[float]:
    """Milliseconds of each of `count` requests on one kept connection."""
    for _ in range(count):
        start = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"{path} answered {answer.status}")
        yield 1000 * (time.perf_counter() - start)


def overhead() -> list[Claim]:
    """Jupyter's /api direct and through nginx, in turns."""
    direct, proxied = (http.client.HTTPConnection("127.0.0.1", port) for port in (8888, 80))
    times: dict[str, list[float]] = {"direct": [], "nginx": []}
    for _ in range(ROUNDS):
        times["direct"] += timed_gets(direct, TURN, "/api")
        times["nginx"] += timed_gets(proxied, TURN, "/api")
    found = {name: [percentile(values, share) for share in (0.5, 0.99)] for name, values in times.items()}
    print(f"  /api, ms at p50 and p99: direct {found['direct']}, nginx {found['nginx']}", file=sys.stderr)
    return [Claim("nginx adds to Jupyter's /api, ms at p99", found["nginx"][1] - found["direct"][1], 0.5)]


def static() -> list[Claim]:
    """The files that JupyterLab's first page loads, asked for at a fixed pace whatever the answers take."""
    browser = Jupyter(URL)
    browser.sign_in(PASSWORD)
    paths = re.findall(r'(?:src|href)="(/static/[^"]+)"', browser.http.get(f"{URL}lab").text)
    times: list[float] = []
    errors: list[str] = []
    start = time.perf_counter() + 0.1

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", 80)
        for turn in range(number, STATIC_SECONDS * STATIC_RATE, CLIENTS):
            due = start + turn / STATIC_RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                connection.request("GET", paths[turn % len(paths)], headers={"Accept-Encoding": "gzip"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as exc:
                errors.append(str(exc))
                connection.close()
                continue
            times.append(time.perf_counter() - due)
            if answer.status != http.client.OK:
                errors.append(str(answer.status))

    together(client, CLIENTS)
    rate = len(times) / (time.perf_counter() - start)
    return [
        Claim("static files, answers a second", rate, 0.98 * STATIC_RATE, at_most=False),
        Claim("errors among them", len(errors), 0),
        Claim("ms from when each was due, at p99", 1000 * percentile(times, 0.99), 1000),
    ]


def together(work: Callable[[int], None], count: int) -> None:
    """Run `work` in `count` threads, each with its number."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def websockets() -> list[Claim]:
    """As many websockets as a class would open, all at once and all answering; and then a cell."""
    browser = Jupyter(URL)
    browser.sign_in(PASSWORD)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookies)
    headers = {"Cookie": cookies, "Origin": URL.rstrip("/")}
    errors = 0
    with ExitStack() as stack:
        opened = []
        for _ in range(SOCKETS):
            try:
                opened.append(stack.enter_context(connect("ws://127.0.0.1/echo/socket", additional_headers=headers)))
            except OSError:
                errors += 1
        for number, one in enumerate(opened):
            one.send(str(number))
        errors += sum(one.recv(timeout=30) != str(number) for number, one in enumerate(opened))
        printed = browser.run("print(6 * 7)", deadline=60)
    return [
        Claim("websockets open at once", len(opened), SOCKETS, at_most=False),
        Claim("errors among them", errors, 0),
        Claim("cells that ran meanwhile", float(printed == "42\n"), 1, at_most=False),
    ]


def first_answer(machine: Container) -> list[Claim]:
    """From when systemd saw sshd listen to JupyterLab's first page through nginx; one clock serves both."""
    shown = machine.run("systemctl", "show", "--value", "--property=ActiveEnterTimestampMonotonic", "ssh.service")
    while requests.get(f"{URL}login", timeout=10).status_code != http.client.OK:
        time.sleep(0.02)
    return [Claim("JupyterLab's first answer, s after sshd's", time.monotonic() - int(shown) / 1e6, 15)]


def main() -> int:
    """Measure, print the report, and say whether every claim holds."""
    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        root = Path(folder) / "root"
        extract(ensure_web_tree(), root)
        give(root)
        with booted(root) as machine, on_network_of(machine):
            found = first_answer(machine)
            wait_until_ready()
            for measure in (overhead, static, websockets):
                found += measure()
    for line in found:
        sign = "<=" if line.at_most else ">="
        print(f"{line.what}: {line.value:.3g} ({sign} {line.bound:g}) {'ok' if line.holds() else 'MISSED'}")
    return 0 if all(line.holds() for line in found) else 1


if __name__ == "__main__":
    sys.exit(main())
