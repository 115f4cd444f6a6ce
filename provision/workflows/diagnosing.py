"""The facts of a machine that does not serve: from the cloud, from outside, and, where it can be asked, from inside."""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.cloud.compute import console_log
from provision.cloud.stacks import stack_fault
from provision.core.machine_diagnosis import Diagnosis, Facts, Web, diagnose
from provision.core.plan import Stack
from provision.core.servers import Server
from provision.errors import NotFoundError, ProvisionError
from provision.guests.access import Access
from provision.guests.jupyter import Jupyter, JupyterError
from provision.guests.ssh import ssh_command
from provision.process import run
from provision.progress import Progress
from provision.workflows.lifecycle import find_server, find_stacks
from provision.workflows.machine import find_machine
from provision.workflows.orders import Order
from provision.workflows.repair import find_repairs

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

LINES = 400  # of the console
TRY = 10.0  # seconds for one question
KEY = "caretaker"  # the private key of the cohort's caretakers, in the handout folder


@dataclass(frozen=True)
class Outside:
    """What is seen of a machine without its cloud."""

    web: Web
    services: Mapping[str, str]
    password: bool | None


def examine(
    connection: "Connection", order: Order, student: str, folder: Path, progress: Progress
) -> tuple[Diagnosis, Facts]:
    """Why the student's machine does not serve, and all that was found out about it."""
    with progress.phase("Asking the cloud"):
        facts = _of_cloud(connection, order, student)
    access = _access(connection, order, student, folder) if facts.server else None
    if access and facts.server and facts.server.status == "ACTIVE":
        with progress.phase("Looking from outside"):
            seen = look(access)
        facts = replace(facts, web=seen.web, services=seen.services, password=seen.password)
        with progress.phase("Asking the machine"):
            facts = replace(facts, inside=ask_caretaker(access, folder / KEY))
    return diagnose(facts), facts


def _of_cloud(connection: "Connection", order: Order, student: str) -> Facts:
    stacks = find_stacks(connection, order, student)
    if not stacks:
        return Facts()
    stack = min(stacks, key=lambda each: (not each.complete, each.created))
    server = find_server(connection, order, student)
    missing, address = _network(connection, order, stack)
    fault = ""
    if stack.status.endswith("_FAILED"):
        with suppress(ProvisionError):
            fault = stack_fault(connection, stack).reason
    return Facts(stack.status, fault, server, missing, address, _console(connection, server))


def _network(connection: "Connection", order: Order, stack: Stack) -> tuple[tuple[str, ...], bool]:
    """The rules that are missing for a machine, and whether its address leads to it: what a repair would mend."""
    repairs = [
        each
        for each in find_repairs(connection, order, datetime.now(UTC))
        if each.student == stack.student or (each.stack.id == stack.place)
    ]
    rules = tuple(
        str(each.rule) for each in repairs if each.cure == "open" and each.rule and each.rule.protocol == "tcp"
    )
    return rules, not any(each.cure == "address" and each.student == stack.student for each in repairs)


def _console(connection: "Connection", server: Server | None) -> str:
    """What the console shows; a cloud that does not show it is none the worse."""
    if server is None or server.status != "ACTIVE":
        return ""
    with suppress(ProvisionError):
        return console_log(connection, server, LINES)
    return ""


def _access(connection: "Connection", order: Order, student: str, folder: Path) -> Access | None:
    with suppress(NotFoundError):  # without its handout a machine is still seen by its cloud
        return find_machine(connection, order.cohort, student, folder, order.labels)
    return None


def look(access: Access) -> Outside:
    """What a student's browser would see."""
    try:
        socket.create_connection((access.address, access.port), timeout=TRY).close()
    except ConnectionRefusedError:
        return Outside("refused", {}, None)
    except OSError:
        return Outside("silent", {}, None)
    browser = Jupyter(access.url, trusted=not access.tls)
    try:
        health = browser.request("GET", "healthz", timeout=TRY)
        services = _services(health.text)
        if not health.ok:
            return Outside("starting", services, None)
        return Outside("serving", services, browser.sign_in(access.password) if access.password else None)
    except JupyterError:
        return Outside("starting", {}, None)


def _services(text: str) -> dict[str, str]:
    with suppress(ValueError):
        said = json.loads(text)
        if isinstance(said, dict):
            return {str(name): str(state) for name, state in said.items()}
    return {}


def ask_caretaker(access: Access, key: Path) -> dict[str, Any]:
    """What the machine says of itself; nothing where it cannot be asked."""
    if not key.is_file():
        return {}
    keeper = replace(access, user="caretaker", key=key.absolute())
    words = ("BatchMode=yes", f"ConnectTimeout={TRY:.0f}", "ControlPath=none", "RequestTTY=no")
    with suppress(ProvisionError, ValueError):
        done = run(ssh_command(keeper, "diagnose", options=words), deadline=6 * TRY, check=False)
        said = json.loads(done.stdout) if done.returncode == 0 else {}
        return said if isinstance(said, dict) else {}
    return {}
