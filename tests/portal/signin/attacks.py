"""What forgers, thieves and broken servers send, as data: what is wrong, staff's reason, the person's sentence."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from joserfc.jwk import ECKey

from provision.portal.signin import refusals as say
from tests.portal.loopback import (
    KEY,
    NEXT_KEY,
    STRANGER,
    Claims,
    Twist,
    listed,
    mac_of,
    new_key,
    part,
    signed,
    signed_raw,
    with_mac,
)
from tests.portal.platform import CLAIM, DEEP, ROLE
from tests.portal.signin.visits import URL, Visit

PEM = KEY.as_pem(private=False)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it is weak is what it is for
    WEAK = new_key("weak", 1024)
CURVE = ECKey.generate_key("P-256", {"kid": "first", "use": "sig"})
PERSON = "http://purl.imsglobal.org/vocab/lis/v2/"
GONE = object()


@dataclass(frozen=True)
class Attack:
    """One. `twist` is the other side's doing, `before` the browser's, on its way back to the portal."""

    reason: str
    sentence: str = say.AGAIN
    twist: Twist = field(default_factory=Twist)
    before: Callable[[Visit], object] = lambda visit: None
    world: dict[str, Any] = field(default_factory=dict)  # of the issuer or the platform
    settings: dict[str, Any] = field(default_factory=dict)


def claim(name: str, value: object) -> Twist:
    """A message with one claim otherwise, or without it."""

    def change(claims: Claims) -> None:
        claims[name] = value
        if value is GONE:
            del claims[name]

    return Twist(claims=change)


def shifted(name: str, seconds: float) -> Twist:
    """A message with one time otherwise: so many seconds after it is issued."""
    return Twist(claims=lambda claims: claims.update({name: claims["iat"] + seconds}))


def made(sign: Callable[[Claims, dict[str, Any]], str], **more: Any) -> Twist:
    return Twist(sign=sign, **more)


def _tampered(claims: Claims, header: dict[str, Any]) -> str:
    head, _, signature = signed(claims, header).split(".")
    return f"{head}.{part({**claims, 'sub': 'somebody else'})}.{signature}"


def _borrowed(claims: Claims, header: dict[str, Any]) -> str:
    other = signed({**claims, "sub": "somebody else"}, header)
    return f"{signed(claims, header).rpartition('.')[0]}.{other.rpartition('.')[2]}"


def _as_json(claims: Claims, header: dict[str, Any]) -> str:
    head, payload, signature = signed(claims, header).split(".")
    return f'{{"protected":"{head}","payload":"{payload}","signature":"{signature}"}}'


def _mac(secret: bytes, alg: str = "HS256", digest: str = "sha256") -> Twist:
    return made(lambda claims, _: with_mac(claims, {"alg": alg, "kid": "first"}, secret, digest))


NOT_ONE = "the token is not a signed JWT"
BAD = "the token does not stand: BadSignatureError"

# Both ways: the token is OpenID Connect's in both.
TOKENS = {
    "alg none": Attack(
        "the token's algorithm is 'none'", twist=made(lambda c, _: f"{part({'alg': 'none'})}.{part(c)}.")
    ),
    "alg nOnE": Attack(
        "the token's algorithm is 'nOnE'", twist=made(lambda c, _: f"{part({'alg': 'nOnE'})}.{part(c)}.")
    ),
    "no alg": Attack(NOT_ONE, twist=made(lambda c, _: f"{part({'kid': '1'})}.{part(c)}.eA")),
    "alg is a list": Attack(
        "the token's algorithm is ['RS256']", twist=made(lambda c, _: f"{part({'alg': ['RS256']})}.{part(c)}.eA")
    ),
    "MAC with the public key": Attack("the token's algorithm is 'HS256'", twist=_mac(PEM)),
    "MAC of 512 with the public key": Attack("the token's algorithm is 'HS512'", twist=_mac(PEM, "HS512", "sha512")),
    "MAC with an empty key": Attack("the token's algorithm is 'HS256'", twist=_mac(b"")),
    "MAC called RS256": Attack(BAD, twist=_mac(PEM, "RS256")),
    "stranger's key with our key id": Attack(BAD, twist=made(lambda c, h: signed(c, h, STRANGER))),
    "unknown key id": Attack("no key of the issuer has the id 'new'", twist=Twist(header={"kid": "new"})),
    "key id is a number": Attack("the token's key id is not text", twist=made(lambda c, _: signed_raw(c, {"kid": 1}))),
    "key id is a path": Attack(
        "no key of the issuer has the id '../../dev/null'", twist=Twist(header={"kid": "../../dev/null"})
    ),
    "no key id, two keys": Attack(
        "no key of the issuer has the id None",
        twist=made(lambda c, _: signed_raw(c, {"kid": None}), keys=listed(KEY, NEXT_KEY)),
    ),
    "stranger's key in the header": Attack(
        BAD, twist=made(lambda c, h: signed(c, {**h, "jwk": STRANGER.as_dict(private=False)}, STRANGER))
    ),
    "stranger's key set in the header": Attack(
        "no key of the issuer has the id 'evil'",
        twist=made(lambda c, h: signed(c, {**h, "kid": "evil", "jku": "https://evil.test/keys"}, STRANGER)),
    ),
    "claims changed after signing": Attack(BAD, twist=made(_tampered)),
    "another token's signature": Attack(BAD, twist=made(_borrowed)),
    "signature cut off": Attack(BAD, twist=made(lambda c, h: signed(c, h).rpartition(".")[0] + ".")),
    "unknown critical header": Attack(
        "the token does not stand: UnsupportedHeaderError",
        twist=made(lambda c, _: signed_raw(c, {"crit": ["x"], "x": 1})),
    ),
    "no JWT": Attack(NOT_ONE, twist=made(lambda c, _: "welcome")),
    "two parts": Attack(NOT_ONE, twist=made(lambda c, h: signed(c, h).rpartition(".")[0])),
    "encrypted": Attack(NOT_ONE, twist=made(lambda c, h: f"{signed(c, h)}.a.b")),
    "JSON serialisation": Attack(NOT_ONE, twist=made(_as_json)),
    "header is no object": Attack(NOT_ONE, twist=made(lambda c, _: f"{part([])}.{part(c)}.eA")),
    "payload is a list": Attack(
        "the token does not stand: InvalidPayloadError", twist=made(lambda c, _: signed_raw([c], {}))
    ),
    "endless token": Attack("the token has more than 65536 characters", twist=claim("picture", "x" * 65536)),
    "key of 1024 bits": Attack(
        "the issuer's list of keys has none, or could not be read",
        say.DOWN,
        made(lambda c, _: signed_raw(c, {}, WEAK), keys=listed(WEAK)),
    ),
    "key for encryption": Attack(
        "the issuer's list of keys has none, or could not be read", say.DOWN, Twist(keys=listed(KEY, use="enc"))
    ),
    "key for another algorithm": Attack(
        "the key 'first' is not one for RS256", twist=Twist(keys=listed(KEY, alg="RS512"))
    ),
    "key of another kind": Attack(
        "the key 'first' is not one for RS256", twist=Twist(keys=[CURVE.as_dict(private=False)])
    ),
    "symmetric key in the list": Attack(
        "the issuer's list of keys has none, or could not be read",
        say.DOWN,
        Twist(keys=[{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]),
    ),
    "iss is another": Attack("iss is 'https://evil.test'", twist=claim("iss", "https://evil.test")),
    "iss is a list": Attack("iss is ['https://evil.test']", twist=claim("iss", ["https://evil.test"])),
    "no iss": Attack("iss is None", twist=claim("iss", GONE)),
    "aud is another": Attack("aud is 'other'", twist=claim("aud", "other")),
    "no aud": Attack("aud is None", twist=claim("aud", GONE)),
    "aud is nobody": Attack("aud is []", twist=claim("aud", [])),
    "azp is another": Attack("azp is 'other'", twist=claim("azp", "other")),
    "exp is past": Attack("exp is past", say.LATE, shifted("exp", -61)),
    "no exp": Attack("exp is None", twist=claim("exp", GONE)),
    "exp is text": Attack("exp is '9999999999'", twist=claim("exp", "9999999999")),
    "exp is true": Attack("exp is True", twist=claim("exp", True)),
    "exp is endless": Attack("exp is inf", twist=claim("exp", float("inf"))),
    "exp is too large to count": Attack(f"exp is 1{'0' * 56}...", twist=claim("exp", 10**400)),
    "exp is before all time": Attack("exp is -1", twist=claim("exp", -1)),
    "iat is ahead": Attack("iat is ahead", twist=Twist(claims=lambda c: c.update(iat=c["iat"] + 120))),
    "iat is long ago": Attack(
        "iat is more than 600 s ago", say.LATE, Twist(claims=lambda c: c.update(iat=c["iat"] - 660))
    ),
    "no iat": Attack("iat is None", twist=claim("iat", GONE)),
    "nbf is ahead": Attack("nbf is ahead", twist=shifted("nbf", 120)),
    "nonce is another": Attack("nonce is not this sign-in's", twist=claim("nonce", "stolen")),
    "no nonce": Attack("nonce is not this sign-in's", twist=claim("nonce", GONE)),
    "no sub": Attack("sub is None", twist=claim("sub", GONE)),
    "sub is a number": Attack("sub is 1", twist=claim("sub", 1)),
    "sub is two lines": Attack(r"sub is 'u\nadmin'", twist=claim("sub", "u\nadmin")),
    "all at once": Attack(
        "iss is 'x'; aud is 'x'; nonce is not this sign-in's",
        twist=Twist(claims=lambda c: c.update(iss="x", aud="x", nonce="x")),
    ),
    "keys do not answer": Attack("/keys answers 500, not 200", say.DOWN, Twist(keys_status=500)),
}


def other_browser(visit: Visit) -> None:
    other = visit.open()
    other.cookies.set("__Host-signin-lti", "x" * 43, domain="portal.test")
    other.cookies.set("__Host-signin-oidc", "x" * 43, domain="portal.test")
    visit.browser = other


def no_cookie(visit: Visit) -> None:
    visit.browser = visit.open()


def neighbours_cookie(visit: Visit) -> None:
    """A neighbouring host can plant any name but __Host-."""
    value = next(iter(visit.browser.cookies.values()))
    visit.browser = visit.open()
    visit.browser.cookies.set("signin-lti", value, domain="portal.test")
    visit.browser.cookies.set("signin-oidc", value, domain="portal.test")


def later(visit: Visit) -> None:
    visit.house.later = 601


def said(**more: str | None) -> Callable[[Visit], object]:
    def change(visit: Visit) -> None:
        visit.said = {name: value for name, value in {**visit.said, **more}.items() if value is not None}

    return change


def state_of_nobody(visit: Visit) -> None:
    head, payload, _ = visit.said["state"].split(".")
    visit.said["state"] = f"{head}.{payload}.{mac_of(f'{head}.{payload}', b'')}"


def unsigned_state(visit: Visit) -> None:
    visit.said["state"] = f"{part({'alg': 'none'})}.{visit.said['state'].split('.')[1]}."


def earlier_answer(*names: str) -> Callable[[Visit], object]:
    """A part of another sign-in's answer of the same browser, with this one's state."""

    def change(visit: Visit) -> None:
        visit.said |= {name: value for name, value in visit.again().items() if name in names}

    return change


NOT_OURS = "the state is not one of this portal's"

# Both ways: from the portal and back.
JOURNEYS = {
    "no state": Attack(NOT_OURS, before=said(state=None)),
    "empty state": Attack(NOT_OURS, before=said(state="")),
    "made-up state": Attack(NOT_OURS, before=said(state="abc")),
    "state signed by another": Attack(NOT_OURS, before=state_of_nobody),
    "state not signed": Attack(NOT_OURS, before=unsigned_state),
    "no cookie": Attack("the browser sent no cookie of this sign-in", say.BROWSER, before=no_cookie),
    "another browser's state": Attack("the state is another browser's", say.BROWSER, before=other_browser),
    "a neighbour's cookie": Attack("the browser sent no cookie of this sign-in", say.BROWSER, before=neighbours_cookie),
    "too late": Attack("the state is older than 600 seconds", say.LATE, before=later),
    "the other side says no": Attack(
        "says 'access_denied'", say.DECLINED, Twist(answer={"error": "access_denied", "id_token": None, "code": None})
    ),
    "the other side says a log's line": Attack(
        r"says 'x\n2026 admitted root'", say.DECLINED, Twist(answer={"error": "x\n2026 admitted root"})
    ),
}


def inside(name: str, value: object) -> Twist:
    return claim(CLAIM + name, value)


def deep(**more: object) -> Attack:
    change = Twist(claims=lambda c: c[f"{DEEP}deep_linking_settings"].update(more))
    world = {"message": "LtiDeepLinkingRequest", "roles": [ROLE + "Instructor"]}
    return Attack("", say.SETUP, change, world=world)


def twice(name: str) -> Callable[[Visit], object]:
    def change(visit: Visit) -> None:
        visit.body = "&".join(f"{each}={value}" for each, value in [*visit.said.items(), (name, visit.said[name])])

    return change


def body(text: str, kind: str = "application/x-www-form-urlencoded") -> Callable[[Visit], object]:
    def change(visit: Visit) -> None:
        visit.body, visit.kind = text, kind

    return change


NO_ROLE = "the roles in the course are []"

LTI = {
    "two audiences": Attack("aud is ['client-1', 'other']", twist=claim("aud", ["client-1", "other"])),
    "two audiences, azp ours": Attack(
        "aud is ['client-1', 'other']",
        twist=Twist(claims=lambda c: c.update(aud=["client-1", "other"], azp="client-1")),
    ),
    "no id_token": Attack(NOT_ONE, twist=Twist(answer={"id_token": None})),
    "an earlier launch's token": Attack("nonce is not this sign-in's", before=earlier_answer("id_token")),
    "message of another type": Attack(
        "message_type is 'LtiSubmissionReviewRequest'", twist=inside("message_type", "LtiSubmissionReviewRequest")
    ),
    "no message type": Attack("message_type is None", twist=inside("message_type", GONE)),
    "LTI 1.1": Attack("version is 'LTI-1p0'", twist=inside("version", "LTI-1p0")),
    "no version": Attack("version is None", twist=inside("version", GONE)),
    "another deployment": Attack("deployment '8' is not in portal.toml", say.SETUP, inside("deployment_id", "8")),
    "deployment is a number": Attack("deployment 7 is not in portal.toml", say.SETUP, inside("deployment_id", 7)),
    "no deployment": Attack("deployment None is not in portal.toml", say.SETUP, inside("deployment_id", GONE)),
    "another course": Attack("context 'x' is not in portal.toml", say.WRONG_COURSE, inside("context", {"id": "x"})),
    "no course": Attack("context None is not in portal.toml", say.WRONG_COURSE, inside("context", GONE)),
    "course is text": Attack("context None is not in portal.toml", say.WRONG_COURSE, inside("context", "course-351")),
    "no roles": Attack("roles are None", twist=inside("roles", GONE)),
    "roles are text": Attack("roles are 'Instructor'", twist=inside("roles", "Instructor")),
    "roles hold a number": Attack("roles are [1]", twist=inside("roles", [1])),
    "the system's administrator": Attack(
        NO_ROLE, say.WRONG_ROLE, world={"roles": [f"{PERSON}system/person#Administrator"]}
    ),
    "the institution's instructor": Attack(
        NO_ROLE, say.WRONG_ROLE, world={"roles": [f"{PERSON}institution/person#Instructor"]}
    ),
    "a role that looks like one": Attack(
        NO_ROLE, say.WRONG_ROLE, world={"roles": ["http://evil.test/membership#Instructor"]}
    ),
    "a mentor": Attack("the roles in the course are ['Mentor']", say.WRONG_ROLE, world={"roles": [ROLE + "Mentor"]}),
    "no resource link": Attack("resource_link has no id", twist=inside("resource_link", GONE)),
    "target is elsewhere": Attack(
        "target_link_uri: 'https://evil.test/' leads out of the portal",
        say.ELSEWHERE,
        inside("target_link_uri", "https://evil.test/"),
    ),
    "target is a host without a scheme": Attack(
        "target_link_uri: '//evil.test' leads out of the portal",
        say.ELSEWHERE,
        inside("target_link_uri", "//evil.test"),
    ),
    "target is another page": Attack(
        "target_link_uri is 'https://portal.test/staff', and was another at the login",
        twist=inside("target_link_uri", f"{URL}/staff"),
    ),
    "no target": Attack("target_link_uri: '' leads out of the portal", say.ELSEWHERE, inside("target_link_uri", GONE)),
    "not in the roster": Attack("email 'eve@uni.test' is no student's", say.UNLISTED, claim("email", "eve@uni.test")),
    "two students' address": Attack(
        "email 'twins@uni.test' is no student's", say.UNLISTED, claim("email", "twins@uni.test")
    ),
    "no address": Attack("email None is no student's", say.UNLISTED, claim("email", GONE)),
    "address is a list": Attack(
        "email ['ada@uni.test'] is no student's", say.UNLISTED, claim("email", ["ada@uni.test"])
    ),
    "id by another field": Attack("sourcedid None is no student's", say.UNLISTED, settings={"student": "sourcedid"}),
    "deep link for a student": Attack(
        "a deep link was asked for by a student",
        say.STAFF_ONLY,
        world={"message": "LtiDeepLinkingRequest", "roles": [ROLE + "Learner"]},
    ),
    "deep link to elsewhere": replace(
        deep(deep_link_return_url="https://evil.test/"),
        reason="deep_link_return_url 'https://evil.test/' is not the platform's",
    ),
    "deep link to a script": replace(
        deep(deep_link_return_url="javascript:alert(1)"),
        reason="deep_link_return_url 'javascript:alert(1)' is not the platform's",
    ),
    "deep link of a number": replace(deep(accept_types=1), reason="the platform takes no ltiResourceLink"),
    "deep link of files": replace(deep(accept_types=["file"]), reason="the platform takes no ltiResourceLink"),
    "two tokens": Attack("parameter 'id_token' is there more than once", before=twice("id_token")),
    "two states": Attack("parameter 'state' is there more than once", before=twice("state")),
    "JSON": Attack("the body is no form but 'application/json'", before=body("{}", "application/json")),
    "endless body": Attack("the body has more than 131072 bytes", before=body("a=" + "x" * 131072)),
    "65 parameters": Attack(
        "the request has more than 64 parameters", before=body("&".join(f"p{each}=1" for each in range(65)))
    ),
}

OIDC = {
    "two audiences": Attack("aud is ['portal', 'other']", twist=claim("aud", ["portal", "other"])),
    "two audiences, azp ours": Attack(
        "aud is ['portal', 'other']", twist=Twist(claims=lambda c: c.update(aud=["portal", "other"], azp="portal"))
    ),
    "answer of another issuer": Attack(
        "the answer's iss is 'https://evil.test'", twist=Twist(answer={"iss": "https://evil.test"})
    ),
    "answer without its issuer": Attack("the answer's iss is None", twist=Twist(answer={"iss": None})),
    "no code": Attack("the answer has no code", before=said(code=None)),
    "made-up code": Attack("the provider gives nothing for the code: 'invalid_grant'", before=said(code="x")),
    "an earlier sign-in's code": Attack(
        "the provider gives nothing for the code: 'invalid_grant'", before=earlier_answer("code")
    ),
    "another token than the one hashed": Attack("at_hash is not the access token's", twist=claim("at_hash", "x")),
    "access token exchanged": Attack(
        "at_hash is not the access token's", twist=Twist(tokens={"access_token": "another"})
    ),
    "no ID token": Attack(
        "the provider gives no ID token: is openid among the scopes?", say.SETUP, Twist(tokens={"id_token": None})
    ),
    "secret that is withdrawn": Attack(
        "the provider gives nothing for the code: 'invalid_client'", say.SETUP, Twist(client_secret="new")
    ),
    "token endpoint leads elsewhere": Attack("/token answers no JSON object", say.DOWN, Twist(token_status=307)),
    "token endpoint answers a list": Attack("/token answers no JSON object", say.DOWN, Twist(token_body=["x"])),
    "token endpoint answers a number": Attack("/token answers no JSON object", say.DOWN, Twist(token_body=1)),
    "token endpoint is broken": Attack("/token does not answer: HTTPError", say.DOWN, Twist(token_status=502)),
    "userinfo of another": Attack(
        "the provider's userinfo is somebody else's", twist=Twist(userinfo={"sub": "u-2"}), settings={"userinfo": True}
    ),
    "address not verified": Attack(
        "email 'ada@uni.test' is no student's", say.UNLISTED, claim("email_verified", False)
    ),
    "address verified in words": Attack(
        "email 'ada@uni.test' is no student's", say.UNLISTED, claim("email_verified", "true")
    ),
    "address of nobody": Attack("email 'eve@uni.test' is no student's", say.UNLISTED, claim("email", "eve@uni.test")),
    "two students' address": Attack(
        "email 'twins@uni.test' is no student's", say.UNLISTED, claim("email", "twins@uni.test")
    ),
    "group that holds the word": Attack(
        "email 'eve@uni.test' is no student's",
        say.UNLISTED,
        Twist(claims=lambda c: c.update(email="eve@uni.test", groups="tm351-staff tm351-staff-not")),
    ),
    "staff by an object": Attack(
        "email 'eve@uni.test' is no student's",
        say.UNLISTED,
        Twist(claims=lambda c: c.update(email="eve@uni.test", groups={"tm351-staff": True})),
    ),
    "id that the pattern does not take whole": Attack(
        "upn 'ada@uni.test.evil' is no student's",
        say.UNLISTED,
        claim("upn", "ada@uni.test.evil"),
        settings={"student_claim": "upn", "student_pattern": r"([a-z]+)@uni\.test"},
    ),
}

# Where a sign-in is told to end. None of these begins a journey.
ELSEWHERE = (
    *("https://evil.test/", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "http:evil.test"),
    *("https://portal.test.evil.test/", "https://portal.test@evil.test/", "https://portal.testevil/", "javascript:1"),
    *("/\tevil", "/a\r\nSet-Cookie: a=b", "/ /evil.test", "machine", "http://portal.test/", "/" + "x" * 500),
)

# The other side's discovery document, of which keys and places would be believed.
DISCOVERIES = {
    "of another issuer": ({"issuer": "https://evil.test"}, "the discovery document is of 'https://evil.test', not "),
    "without an issuer": ({"issuer": None}, "the discovery document is of None, not "),
    "keys without TLS": (
        {"jwks_uri": "http://evil.test/keys"},
        "the discovery document's jwks_uri is missing or no https:// address",
    ),
    "no token endpoint": (
        {"token_endpoint": None},
        "the discovery document's token_endpoint is missing or no https:// address",
    ),
    "sign-in page is a script": (
        {"authorization_endpoint": "javascript:alert(1)"},
        "the discovery document's authorization_endpoint is missing or no https:// address",
    ),
    "logout is a script": (
        {"end_session_endpoint": "javascript:alert(1)"},
        "the discovery document's end_session_endpoint is missing or no https:// address",
    ),
}

# What a platform says first, at the login.
LOGINS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "unknown platform": (
        {"iss": "https://evil.test"},
        "no platform, or more than one, is 'https://evil.test' with client 'client-1'",
        say.SETUP,
    ),
    "no platform": ({"iss": None}, "no platform, or more than one, is None with client 'client-1'", say.SETUP),
    "unknown client": ({"client_id": "x"}, "with client 'x'", say.SETUP),
    "unknown deployment": ({"lti_deployment_id": "8"}, "deployment '8' is not in portal.toml", say.SETUP),
    "no hint": ({"login_hint": None}, "the login has no login_hint", say.AGAIN),
    "no target": ({"target_link_uri": None}, "'' leads out of the portal", say.ELSEWHERE),
}
