"""Sign-in by OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0; RFC 7636, 9207, 9700)."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from authlib.oidc.core.util import create_half_hash
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provision.portal.person import Person
from provision.portal.signin.house import Admit, House, Once, Roster, local_path, parameters
from provision.portal.signin.journey import (
    Journey,
    begin,
    derived,
    resume,
    state_of,
    stretched,
    with_cookie,
)
from provision.portal.signin.keys import Keys
from provision.portal.signin.matching import person_email, person_name, student_by_email, student_by_id
from provision.portal.signin.provider import Provider, fetch_tokens, fetch_userinfo, metadata, session
from provision.portal.signin.refusals import AGAIN, DECLINED, UNLISTED, RefusedError, quoted, refusing
from provision.portal.signin.settings import OIDC_SECRET, OidcSettings, read_secret
from provision.portal.signin.tokens import Claims, Problem, opened, refuse_any, token_problems

BACK = "/oidc/callback"


def routes(
    settings: OidcSettings, once: Once, admit: Admit, roster: Roster, url: str, now: Callable[[], float] = time.time
) -> list[Route]:
    """/oidc/login?to=PATH, the way back, and /oidc/logout, for who has ended the portal's own session.

    `url` is the portal's own for browsers. Raises InvalidInputError without a client secret.
    """
    house = House(url, once, admit, roster, now)
    secret = read_secret(settings.client_secret_file, OIDC_SECRET, "client_secret_file")
    provider = Provider(settings, secret, url + BACK, now, Keys(now))
    key = stretched(secret.encode(), "oidc")

    async def login(request: Request) -> Response:
        return await _login(request, provider, house, key)

    async def callback(request: Request) -> Response:
        return await _callback(request, provider, house, key)

    async def logout(request: Request) -> Response:
        return await _logout(provider, house)

    return [
        Route("/oidc/login", refusing("oidc", login), name="oidc-login"),
        Route(BACK, refusing("oidc", callback), name="oidc-callback"),
        Route("/oidc/logout", refusing("oidc", logout), name="oidc-logout"),
    ]


async def _login(request: Request, provider: Provider, house: House, key: bytes) -> Response:
    path = local_path(house.url, (await parameters(request)).get("to", "/"))
    settings = provider.settings
    journey = begin(request, house, "oidc", (settings.issuer, settings.client_id), path)
    url = await run_in_threadpool(_question, provider, journey, key, house.now())
    return with_cookie(RedirectResponse(url, 302), journey, house)


def _question(provider: Provider, journey: Journey, key: bytes, now: float) -> str:
    with session(provider) as client:
        url, _ = client.create_authorization_url(
            metadata(provider)["authorization_endpoint"],
            state=state_of(key, journey, now),
            code_verifier=derived(key, journey, "verifier"),
            nonce=derived(key, journey, "nonce"),
        )
    return str(url)


async def _callback(request: Request, provider: Provider, house: House, key: bytes) -> Response:
    answer = await parameters(request)
    journey = await run_in_threadpool(resume, key, request, "oidc", answer.get("state", ""), house)
    person = await run_in_threadpool(_finish, answer, journey, provider, house, key)
    return await house.admit(request, person, journey.path)


def _finish(answer: dict[str, str], journey: Journey, provider: Provider, house: House, key: bytes) -> Person:
    """Who it is that came back with `answer`. Raises RefusedError."""
    settings = provider.settings
    refuse_any(_answer_problems(answer, journey, settings, metadata(provider)))
    tokens = fetch_tokens(provider, answer["code"], derived(key, journey, "verifier"))
    header, claims = opened(tokens["id_token"], provider.keys, metadata(provider)["jwks_uri"])
    nonce = derived(key, journey, "nonce")
    refuse_any(token_problems(claims, settings.issuer, settings.client_id, nonce, house.now()))
    refuse_any(_binding_problems(header, claims, tokens))
    if settings.userinfo:
        claims = {**fetch_userinfo(provider, tokens.get("access_token"), claims["sub"]), **claims}
    return _person(claims, settings, house)


def _answer_problems(
    answer: dict[str, str], journey: Journey, settings: OidcSettings, said: dict[str, Any]
) -> Iterator[Problem]:
    """The state's issuer and the answer's must be the one that we ask for tokens (RFC 9207: issuers get mixed up)."""
    if (journey.issuer, journey.client) != (settings.issuer, settings.client_id):
        yield f"the journey was to {quoted(journey.issuer)}", AGAIN
    needed = said.get("authorization_response_iss_parameter_supported") is True
    if answer.get("iss", None if needed else settings.issuer) != settings.issuer:
        yield f"the answer's iss is {quoted(answer.get('iss'))}", AGAIN
    if "error" in answer:
        yield f"the provider says {quoted(answer['error'])}", DECLINED
    elif not answer.get("code"):
        yield "the answer has no code", AGAIN


def _binding_problems(header: dict[str, Any], claims: Claims, tokens: dict[str, Any]) -> Iterator[Problem]:
    """The access token is the one that came with the ID token (OpenID Connect Core, 3.1.3.8)."""
    if "at_hash" in claims:
        made = create_half_hash(str(tokens.get("access_token", "")), header["alg"])
        if not made or claims["at_hash"] != made.decode():
            yield "at_hash is not the access token's", AGAIN


def _person(claims: Claims, settings: OidcSettings, house: House) -> Person:
    """Who has a group of staff is staff; everybody else must be in the roster."""
    held = claims.get(settings.staff_claim)
    groups = held if isinstance(held, list) else [held]
    staff = any(each in settings.staff_values for each in groups if isinstance(each, str))
    student = _student(claims, settings, house)
    if not staff and student is None:
        raise RefusedError(
            f"{settings.student_claim} {quoted(claims.get(settings.student_claim))} is no student's", UNLISTED
        )
    subject = f"{claims['iss']}#{claims['sub']}"
    return Person(subject, student, person_name(claims), person_email(claims), "staff" if staff else "student", "oidc")


def _student(claims: Claims, settings: OidcSettings, house: House) -> str | None:
    """An address that the provider has not verified may be anybody's, and is nobody's."""
    value = claims.get(settings.student_claim)
    if settings.student_claim == "email" and not (settings.email_is_verified or claims.get("email_verified") is True):
        return None
    if settings.student_pattern:
        found = re.fullmatch(settings.student_pattern, value) if isinstance(value, str) else None
        return student_by_id(house.roster(), found[1]) if found else None
    find = student_by_email if settings.student_claim == "email" else student_by_id
    return find(house.roster(), value)


async def _logout(provider: Provider, house: House) -> Response:
    """To the provider's own logout, where it has one; it leads back (OpenID Connect RP-Initiated Logout 1.0)."""
    end = (await run_in_threadpool(metadata, provider)).get("end_session_endpoint")
    if not end:
        return RedirectResponse("/", 303)
    query = urlencode({"client_id": provider.settings.client_id, "post_logout_redirect_uri": f"{house.url}/"})
    return RedirectResponse(f"{end}{'&' if '?' in end else '?'}{query}", 303)
