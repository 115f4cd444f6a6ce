"""Asking the other side: no redirect is followed, no answer is endless, and silence has a deadline."""

import json
from collections.abc import Mapping
from typing import Any

import requests

from provision.portal.signin.refusals import DOWN, RefusedError

PATIENCE = (3.05, 10)  # seconds to connect, and between two pieces of an answer
ANSWER = 1024 * 1024  # bytes: a page of members, the largest there is, has about 300 each


def read_json(url: str, headers: Mapping[str, str] | None = None) -> tuple[dict[str, Any], requests.Response]:
    """The JSON object at `url`, and what it came with. Raises RefusedError where there is none."""
    try:
        with requests.get(url, headers=headers, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
            body = answer.raw.read(ANSWER + 1, decode_content=True)
    except (requests.RequestException, OSError) as exc:
        raise RefusedError(f"{url} does not answer: {type(exc).__name__}", DOWN) from exc
    if answer.status_code != 200:
        raise RefusedError(f"{url} answers {answer.status_code}, not 200", DOWN)
    if len(body) > ANSWER:
        raise RefusedError(f"{url} answers more than {ANSWER} bytes", DOWN)
    try:
        held = json.loads(body)
    except ValueError as exc:
        raise RefusedError(f"{url} answers no JSON", DOWN) from exc
    if not isinstance(held, dict):
        raise RefusedError(f"{url} answers no JSON object", DOWN)
    return held, answer
