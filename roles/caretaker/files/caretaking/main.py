"""Which verb is which function, and how a run ends."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from caretaking import activity, binding, diagnosing, files
from caretaking.common import FAILED, Refused, Settings, body, read_settings

VERBS: dict[str, Callable[[Settings, BinaryIO, BinaryIO], object]] = {
    "activity": lambda settings, _in, _out: activity.seen(settings),
    "backup": files.backup,
    "claim": lambda settings, source, _out: binding.claim(settings, body(source)),
    "diagnose": lambda settings, _in, _out: diagnosing.facts(settings),
    "password": lambda settings, source, _out: binding.password(settings, body(source)),
    "reset": lambda settings, _in, _out: files.reset(settings),
    "restore": files.restore,
}


def run(verb: str) -> int:
    """Do it, and answer with what it returns; the exit code. Who asked may be gone: what was begun is completed."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        answer = VERBS[verb](read_settings(), sys.stdin.buffer, sys.stdout.buffer)
        if answer is not None:
            print(json.dumps(answer))
        sys.stdout.flush()
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return refusal.code
    except OSError as error:
        print(error, file=sys.stderr)
        return FAILED
    return 0
