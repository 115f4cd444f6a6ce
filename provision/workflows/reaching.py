"""The stories of whoever opens a machine from this computer, straight or through ssh, and lends it packages."""

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

from provision.errors import CommandError, NotReadyError
from provision.guests.access import Access
from provision.guests.lent import Lent, Sources, lend
from provision.guests.lent_proxy import lent_proxy
from provision.guests.probes import is_serving
from provision.guests.tunnel import HERE, LOOK, Forward, hold_open, is_listening, new_tunnel, usual_port

PAUSE = 2.0  # seconds between two tries
TRY = 5.0  # seconds that one may take
WEB, WEB_TLS = 80, 443  # the machine's own public ports


def is_public(access: Access, deadline: float) -> bool:
    """Whether the machine's pages are reached straight from here; False if only its SSH is.

    Waits for one that boots. Raises NotReadyError if neither answers within `deadline` seconds.
    """
    end = time.monotonic() + deadline
    while True:
        if is_serving(access, timeout=TRY):
            return True
        # Its pages may only be late: what has an open port is waited for.
        if not _connects(access.address, access.port) and _connects(access.address, access.ssh_port):
            return False
        if time.monotonic() > end:
            raise NotReadyError(
                "network",
                f"Neither the pages nor the SSH of {access.address} serve within {deadline:.0f} s.",
                hint="See why: provision diagnose COHORT STUDENT. Is there a host on the way? Name it: --jump HOST",
            )
        time.sleep(PAUSE)


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=TRY).close()
    except OSError:
        return False
    return True


def pages_through(access: Access) -> tuple[Access, Forward]:
    """The machine's pages as they are at a port of this computer, and what leads there."""
    forward = Forward(usual_port(access), WEB_TLS if access.tls else WEB)
    return replace(access, address=HERE, web_port=forward.port), forward


def hold_pages(
    access: Access,
    *,
    jump: str | None,
    on_up: Callable[[str], None],
    say: Callable[[str], None],
    deadline: float,
    stop: Event,
) -> None:
    """Hold a way to the machine's pages open; `on_up` is told their address once they serve."""
    here, forward = pages_through(access)
    told: list[str] = []

    def up() -> None:
        if told:
            say("The link is back.")
        else:
            told.append(here.url)
            on_up(here.url)

    def answers() -> bool:
        return is_serving(here, timeout=TRY)

    with new_tunnel(access, [forward], jump) as tunnel:
        hold_open(tunnel, answers=answers, on_up=up, say=say, deadline=deadline, stop=stop)


def hold_ports(
    access: Access,
    forwards: Sequence[Forward],
    *,
    jump: str | None,
    sources: Sources | None,
    on_up: Callable[[Lent | None], None],
    say: Callable[[str], None],
    deadline: float,
    stop: Event,
) -> None:
    """Hold ports open, and lend the machine what `sources` name.

    `on_up` is told what it has of them, each time that the link stands.
    """
    with ExitStack() as stack:
        tunnel = stack.enter_context(new_tunnel(access, forwards, jump))
        proxy = None
        if sources:
            refused = lambda place: say(f"The machine asked for {place}, which is not lent: --allow HOST")  # noqa: E731
            proxy = stack.enter_context(lent_proxy(sources.places, secrets.token_urlsafe(16), refused))

        def up() -> None:
            if not (proxy and sources):
                on_up(None)
                return
            try:
                with lend(tunnel, proxy, sources) as lent:
                    on_up(lent())
                    while lent() and not stop.wait(LOOK):
                        pass
            except CommandError:
                if tunnel.control.exists():  # without it the link dropped meanwhile, and is made again
                    raise

        def answers() -> bool:
            return all(is_listening(each.port) for each in forwards)

        hold_open(tunnel, answers=answers, on_up=up, say=say, deadline=deadline, stop=stop)
