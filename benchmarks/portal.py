"""What the launch page bears: `python benchmarks/portal.py [STUDENTS]`, with its own server, against the simulator.

Prints what was measured beside what is claimed; exits with 1 if a claim does not hold. Nothing leaves this machine. The
page, the cloud and the crowd share this computer's cores: on a server of its own the page has more.
"""

import asyncio
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx2
import uvicorn
from report import Claim, table

from provision.clock import REAL
from provision.cloud.connection import connect
from provision.core.roster import Student
from provision.portal.app import make_app
from provision.portal.entry import new_links
from provision.portal.store import add_links, open_store
from provision.portal.visit import Portal, Settings
from provision.workflows.desk import Desk, open_desk
from provision.workflows.orders import read_cohort
from tests.portal.conftest import TOML
from tests.simulator import world
from tests.simulator.staff import serving

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 20.0  # of page requests at RATE
RATE = 500  # page requests a second
ARRIVAL = 60.0  # seconds in which all students come
CLICKS, REPEATS = 50, 20
PORT = 18443


@dataclass
class Crowd:
    """Everybody who asks: what was answered, and how long each kind of question took, in seconds."""

    client: httpx2.AsyncClient
    statuses: Counter[int] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=dict)

    async def ask(
        self, kind: str, method: str, path: str, session: str = "", form: dict[str, str] | None = None
    ) -> str:
        """Ask once; the page, or the session's cookie if there is a new one."""
        begun = monotonic()
        headers = {"Cookie": f"session={session}"} if session else {}
        try:
            answer = await self.client.request(method, path, headers=headers, data=form)
        except httpx2.HTTPError:
            self.statuses[599] += 1
            return ""
        self.times.setdefault(kind, []).append(monotonic() - begun)
        self.statuses[answer.status_code] += 1
        cookie = re.search(r"session=([^;]+)", answer.headers.get("set-cookie", ""))
        self.client.cookies.clear()
        return cookie[1] if cookie else answer.text

    def worst(self, kind: str, share: float = 0.99) -> float:
        """The time within which that share of the answers came."""
        times = sorted(self.times[kind])
        return times[min(len(times) - 1, int(len(times) * share))]

    def broken(self) -> int:
        """How many answers were a 5xx, or none."""
        return sum(number for status, number in self.statuses.items() if status >= 500)


@contextmanager
def a_portal(students: int) -> Iterator[tuple[str, Path]]:
    """The page in a process of its own, before a simulated cloud in another; its address, and its folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cohort.toml").write_text(TOML)
        python = (sys.executable, "-m")
        with Popen([*python, "tests.simulator", "--build", "3"], cwd=ROOT, stdout=PIPE, text=True) as cloud:
            (folder / "clouds.yaml").write_text(cloud.stdout.read() if cloud.stdout else "")
            os.environ |= {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"), "NO_PROXY": "127.0.0.1"}
            simulator = re.search(r"auth_url: '(.*?)/identity", (folder / "clouds.yaml").read_text())
            command = [sys.executable, __file__, "--serve", name, simulator[1] if simulator else "", str(students)]
            with Popen(command, cwd=ROOT) as portal:
                try:
                    yield f"http://127.0.0.1:{PORT}", folder
                finally:
                    portal.terminate()
                    cloud.terminate()


def serve(folder: Path, simulator: str, students: int) -> None:
    """The page as `provision portal serve` serves it; a simulated machine's proof asks the simulator."""
    engine = open_store(f"sqlite:///{folder}/portal.db", "demo-26J")
    desk = Desk(
        read_cohort(str(folder)),
        world.order(students),
        engine,
        lambda: connect("campus"),
        stages=(serving(simulator, REAL, 60),),
    )
    settings = Settings("Demo", ("127.0.0.1",), False)
    with open_desk(desk):
        uvicorn.run(make_app(Portal(desk, engine, settings)), port=PORT, log_level="warning", access_log=False)


async def come_in(crowd: Crowd, link: str) -> tuple[str, str]:
    """Sign in: the session, and its forms' word."""
    session = await crowd.ask("sign in", "POST", link)
    home = await crowd.ask("page", "GET", "/", session)
    found = re.search(r'name="csrf" value="([^"]+)"', home)
    return session, found[1] if found else ""


async def messy(crowd: Crowd, link: str, dice: random.Random) -> None:
    """A student who comes at some time, clicks more than once, reloads, and may go away."""
    await asyncio.sleep(dice.uniform(0, ARRIVAL))
    session, word = await come_in(crowd, link)
    clicks = [crowd.ask("accept", "POST", "/start", session, {"csrf": word}) for _ in range(dice.choice((1, 1, 2, 3)))]
    await asyncio.gather(*clicks)
    for _ in range(dice.choice((0, 1, 3, 6))):
        await asyncio.sleep(dice.uniform(0.2, 3))
        await crowd.ask("page", "GET", "/", session)


async def steady(crowd: Crowd, sessions: list[str]) -> None:
    """RATE page requests a second, whether or not the ones before are answered."""
    begun, asked = monotonic(), []
    for number in range(int(SECONDS * RATE)):
        if (ahead := begun + number / RATE - monotonic()) > 0:
            await asyncio.sleep(ahead)
        asked.append(asyncio.create_task(crowd.ask("steady", "GET", "/", sessions[number % len(sessions)])))
    await asyncio.gather(*asked)
    crowd.times["whole"] = [monotonic() - begun]


async def measured(url: str, links: list[str]) -> list[Claim]:
    """Everything that is claimed, one after the other."""
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        for _ in range(600):
            try:
                await client.get("/healthz")
                break
            except httpx2.HTTPError:
                await asyncio.sleep(0.1)
        first, readers = Crowd(client), links[:50]
        sessions = [(await come_in(first, link))[0] for link in readers]
        await steady(first, sessions)
        rest, crowd, dice = links[50 + REPEATS :], Crowd(client), random.Random(1)  # noqa: S311  # a crowd is no secret
        await asyncio.gather(*(messy(crowd, link, dice) for link in rest))
        clickers, references = Crowd(client), Counter[int]()
        for link in links[50 : 50 + REPEATS]:
            session, word = await come_in(clickers, link)
            form = {"csrf": word}
            await asyncio.gather(*(clickers.ask("click", "POST", "/start", session, form) for _ in range(CLICKS)))
            page = await clickers.ask("page", "GET", "/", session)
            references[len(set(re.findall(r"Reference: (\w+)", page)))] += 1
        return [
            Claim("page requests answered a second", SECONDS * RATE / first.times["whole"][0], RATE * 0.95, False),
            Claim("of those: slowest of 99 % (s)", first.worst("steady"), 1.0),
            Claim(f"{len(rest)} students in {ARRIVAL:.0f} s: answers that were no answer", crowd.broken(), 0),
            Claim("of those: slowest of 99 % to accept (s)", crowd.worst("accept"), 0.3),
            Claim("of those: slowest of 99 % to sign in (s)", crowd.worst("sign in"), 1.0),
            Claim(f"{REPEATS} times {CLICKS} clicks at once: not exactly one wish", REPEATS - references[1], 0),
            Claim("of those: answers that were no answer", clickers.broken(), 0),
        ]


def main() -> None:
    """Measure, and say how it went."""
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
        return
    students = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    count = students + 50 + REPEATS
    with a_portal(count) as (url, folder):
        engine = open_store(f"sqlite:///{folder}/portal.db", "demo-26J")
        people = [Student(f"s{number:04}", f"Student {number}", "x@x.org") for number in range(count)]
        rows = new_links(people, [], 4e9)
        add_links(engine, rows)
        claims = asyncio.run(measured(url, [f"/link/{row['token']}" for row in rows]))
    table(("what", "claimed", "measured", ""), [claim.row() for claim in claims])
    sys.exit(not all(claim.holds() for claim in claims))


if __name__ == "__main__":
    main()
