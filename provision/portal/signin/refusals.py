"""A sign-in that is not accepted: staff's log says why, the person reads one plain sentence and a reference."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from provision.errors import ProvisionError

log = logging.getLogger("provision.portal.signin")

Endpoint = Callable[[Request], Awaitable[Response]]

AGAIN = "This sign-in could not be completed. Close this page and start again from your course's page."
LATE = "This sign-in took too long or was used before. Close this page and start again from your course's page."
BROWSER = (
    "Your browser did not bring back what this page gave it. Allow cookies for this page, open it in a window of its "
    "own, and start again from your course's page."
)
DECLINED = "Your university's sign-in page did not let you in. Start again, or ask your university's IT help desk."
DOWN = "Your university's sign-in does not answer at the moment. Nothing is lost: try again in a few minutes."
ELSEWHERE = "This link leads out of this page, so it was not followed. Start again from your course's page."
SETUP = "Signing in is not set up correctly, which you cannot mend. Please tell your course team the reference below."
UNLISTED = "You are signed in, but you are not on this course's list. Please ask your course team to add you."
WRONG_COURSE = "This link is in another course than the one that it is for. Please tell your course team."
WRONG_ROLE = "Your role in this course has no machine. If you study or teach here, please tell your course team."
STAFF_ONLY = "Only teachers can add this to a course."

FAULTS = {DOWN: 503, SETUP: 403, UNLISTED: 403, WRONG_COURSE: 403, WRONG_ROLE: 403, STAFF_ONLY: 403, DECLINED: 403}


class RefusedError(ProvisionError):
    """Nobody is signed in. The message is staff's, `sentence` the person's."""

    def __init__(self, reason: str, sentence: str = AGAIN) -> None:
        super().__init__(reason)
        self.sentence = sentence


def refusing(way: str, endpoint: Endpoint) -> Endpoint:
    """`endpoint`, with refusals answered: an HTTPException for the portal's own error page."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RefusedError as exc:
            reference = secrets.token_hex(4)
            log.warning("sign-in by %s refused, reference %s: %s", way, reference, exc.message)
            words = f"{exc.sentence} Reference: {reference}"
            raise HTTPException(FAULTS.get(exc.sentence, 400), words, {"Cache-Control": "no-store"}) from exc

    return answer


def quoted(value: object) -> str:
    """What somebody sent, as a log can hold it: one line, cut."""
    words = ascii(value)
    return words if len(words) <= 60 else words[:57] + "..."
