"""Whether Heat makes a stack at all for this credential: one that holds a random word, made and deleted."""

import secrets
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from provision.clock import Clock
from provision.cloud.stacks import create_stack, delete_stack, observe_stacks, stack_fault
from provision.core.checks import Probe
from provision.core.naming import cohort_tag, student_tag
from provision.core.plan import Stack
from provision.errors import AuthenticationError, ProvisionError

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

NAME = "probe"  # what its tags say in the place of a cohort and a student
TEMPLATE = """\
heat_template_version: 2018-08-31
description: Made by provision to see whether Heat makes stacks for a credential. It holds nothing and can be deleted.
resources:
  word:
    type: OS::Heat::RandomString
"""
DEADLINE, POLL = 60.0, 1.0  # seconds
LEFT = 600.0  # seconds after which nobody waits for a probe's stack any more


def probe_heat(connection: "Connection", clock: Clock) -> Probe:
    """Make a stack, wait for it and ask for its end, and for that of what a killed probe has left."""
    name = f"provision-{NAME}-{secrets.token_hex(4)}"  # of its own: two may probe at once
    tags = cohort_tag(NAME), student_tag(NAME)
    try:
        create_stack(connection, name, TEMPLATE, {}, *tags)
        made = _wait(connection, name, tags, clock)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        return Probe(exc.message, exc.hint or "")
    return made


def _wait(connection: "Connection", name: str, tags: tuple[str, ...], clock: Clock) -> Probe:
    end = clock.now() + DEADLINE
    while True:
        stacks = observe_stacks(connection, *tags)
        own = [stack for stack in stacks if stack.name == name]
        if (own and not own[0].status.endswith("_IN_PROGRESS")) or clock.now() > end:
            break
        clock.sleep(POLL)
    probe = _judge(connection, own)
    for mine in own:
        delete_stack(connection, mine)
        for stack in stacks:
            if _age(stack, mine) > LEFT:
                with suppress(ProvisionError):  # says nothing of this credential: somebody else may have made it
                    delete_stack(connection, stack)
    return probe


def _age(stack: Stack, now: Stack) -> float:
    """Seconds by which it is older than one that was made just now."""
    return (datetime.fromisoformat(now.created) - datetime.fromisoformat(stack.created)).total_seconds()


def _judge(connection: "Connection", own: list[Stack]) -> Probe:
    if not own or own[0].status.endswith("_IN_PROGRESS"):
        state = own[0].status if own else "not there"
        words = f"A stack that holds nothing is {state} after {DEADLINE:.0f} s."
        return Probe(words, "Heat is overloaded or its engine is down: tell the operator, and try again later.")
    if own[0].complete:
        return Probe()
    fault = stack_fault(connection, own[0])
    return Probe(f"A stack that holds nothing is {own[0].status}: {fault.reason}", "Show this to the operator.")
