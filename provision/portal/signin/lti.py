"""Sign-in by LTI 1.3, from a link in the university's learning environment (1EdTech LTI Core 1.3, Security 1.0)."""

import time
from collections.abc import Callable

from authlib.common.urls import add_params_to_uri
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from provision.errors import InvalidInputError
from provision.portal.person import Person
from provision.portal.signin.house import Admit, House, Once, Roster, local_path, parameters
from provision.portal.signin.journey import Journey, begin, derived, resume, state_of, stretched, with_cookie
from provision.portal.signin.keys import Keys
from provision.portal.signin.lti_message import DEEP_LINK, MESSAGE_TYPE, lti_person, message_problems
from provision.portal.signin.lti_pages import deep_link_page, window_page
from provision.portal.signin.refusals import DECLINED, SETUP, STAFF_ONLY, RefusedError, quoted, refusing
from provision.portal.signin.settings import LTI_KEY, LtiSettings, Platform, read_secret
from provision.portal.signin.tokens import Claims, opened, refuse_any, token_problems

BACK = "/lti/launch"
SELECT = "/lti/select"  # where deep linking begins: the platform itself keeps that in a frame
FOREIGN = ("/lti/login", BACK)  # where the platform posts: no token of the portal's own can be in its forms
FRAMES = ("iframe", "frame", "embed", "object")

Memory = dict[str, Keys]  # a platform's keys, by where they are


def routes(
    settings: LtiSettings, once: Once, admit: Admit, roster: Roster, url: str, now: Callable[[], float] = time.time
) -> list[Route]:
    """/lti/login, which the platform opens; /lti/launch, where it sends people; /lti/keys, by which it knows us.

    `url` is the portal's own for browsers. Raises InvalidInputError without a usable key.
    """
    house = House(url, once, admit, roster, now)
    own = own_key(settings)
    key = stretched(own.as_der(private=True), "lti")
    memory = {each.keys_url: Keys(now) for each in settings.platform}

    async def login(request: Request) -> Response:
        return await _login(request, settings, house, key)

    async def launch(request: Request) -> Response:
        return await _launch(request, settings, house, key, memory, own)

    async def keys(request: Request) -> Response:
        listed = {"keys": [own.as_dict(private=False, use="sig", alg="RS256", kid=own.kid)]}
        return JSONResponse(listed, headers={"Cache-Control": "max-age=3600"})

    return [
        Route("/lti/login", refusing("lti", login), methods=["GET", "POST"], name="lti-login"),
        Route(BACK, refusing("lti", launch), methods=["POST"], name="lti-launch"),
        Route("/lti/keys", keys, name="lti-keys"),
    ]


def own_key(settings: LtiSettings) -> RSAKey:
    """The portal's own key; its id is its thumbprint (RFC 7638). Raises InvalidInputError with what would make one."""
    text = read_secret(settings.key_file, LTI_KEY, "key_file")
    hint = "Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out lti.pem; chmod 600 lti.pem"
    try:
        key = RSAKey.import_key(text)
    except (JoseError, ValueError, TypeError) as exc:
        raise InvalidInputError("The portal's LTI key is not an RSA key in PEM without a password.", hint=hint) from exc
    if not key.is_private or key.raw_value.key_size < 2048:
        raise InvalidInputError("The portal's LTI key is a public one, or has less than 2048 bits.", hint=hint)
    key.ensure_kid()
    return key


async def _login(request: Request, settings: LtiSettings, house: House, key: bytes) -> Response:
    """The platform says that somebody comes; we ask it who (Security 1.0, 5.1.1.1 and 5.1.1.2)."""
    said = await parameters(request)
    platform = _registered(settings, said)
    if not said.get("login_hint"):
        raise RefusedError("the login has no login_hint")
    path = local_path(house.url, said.get("target_link_uri", ""))
    if request.headers.get("sec-fetch-dest") in FRAMES and path != SELECT:
        return window_page("/lti/login", said, platform)
    journey = begin(request, house, "lti", (platform.issuer, platform.client_id), path)
    url = add_params_to_uri(platform.auth_url, list(_question(said, journey, house, key).items()))
    return with_cookie(RedirectResponse(url, 302), journey, house)


def _registered(settings: LtiSettings, said: dict[str, str]) -> Platform:
    """The registration that a login names. Of several with one issuer, client_id tells which."""
    issuer, client, deployment = said.get("iss"), said.get("client_id"), said.get("lti_deployment_id")
    found = [each for each in settings.platform if each.issuer == issuer and client in (None, each.client_id)]
    if len(found) != 1:
        raise RefusedError(f"no platform, or more than one, is {quoted(issuer)} with client {quoted(client)}", SETUP)
    if deployment is not None and deployment not in found[0].deployments:
        raise RefusedError(f"deployment {quoted(deployment)} is not in portal.toml", SETUP)
    return found[0]


def _question(said: dict[str, str], journey: Journey, house: House, key: bytes) -> dict[str, str]:
    question = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": journey.client,
        "redirect_uri": house.url + BACK,
        "login_hint": said["login_hint"],
        "state": state_of(key, journey, house.now()),
        "nonce": derived(key, journey, "nonce"),
    }
    hint = said.get("lti_message_hint")
    return question | ({"lti_message_hint": hint} if hint is not None else {})


async def _launch(
    request: Request, settings: LtiSettings, house: House, key: bytes, memory: Memory, own: RSAKey
) -> Response:
    answer = await parameters(request)
    journey = await run_in_threadpool(resume, key, request, "lti", answer.get("state", ""), house)
    platform = _asked(settings, journey)
    if "error" in answer:
        raise RefusedError(f"the platform says {quoted(answer['error'])}", DECLINED)
    keys = memory[platform.keys_url]
    token = answer.get("id_token", "")
    claims, person = await run_in_threadpool(_read, token, platform, journey, house, key, keys)
    if claims[MESSAGE_TYPE] == DEEP_LINK:
        return _deep_link(claims, person, platform, house, own)
    return await house.admit(request, person, journey.path)


def _asked(settings: LtiSettings, journey: Journey) -> Platform:
    for each in settings.platform:
        if (each.issuer, each.client_id) == (journey.issuer, journey.client):
            return each
    raise RefusedError(f"platform {quoted(journey.issuer)} is no longer in portal.toml", SETUP)


def _read(
    token: str, platform: Platform, journey: Journey, house: House, key: bytes, keys: Keys
) -> tuple[Claims, Person]:
    """A message's claims, proved, and whose it is. Raises RefusedError."""
    _, claims = opened(token, keys, platform.keys_url)
    nonce = derived(key, journey, "nonce")
    refuse_any(token_problems(claims, platform.issuer, platform.client_id, nonce, house.now()))
    refuse_any(message_problems(claims, platform, house.url, journey.path))
    return claims, lti_person(claims, platform, house.roster())


def _deep_link(claims: Claims, person: Person, platform: Platform, house: House, own: RSAKey) -> Response:
    if person.role != "staff":
        raise RefusedError("a deep link was asked for by a student", STAFF_ONLY)
    return deep_link_page(claims, platform, house, own)
