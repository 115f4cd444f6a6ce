"""The two ways in, from the first page to the last, with a real issuer and a real platform on loopback."""

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey
from pydantic import ValidationError

from provision.core.roster import Student
from provision.errors import InvalidInputError, ProvisionError
from provision.portal.person import Person
from provision.portal.signin import lti
from provision.portal.signin.house import local_path
from provision.portal.signin.members import RosterChanges, fetch_members, plan_roster
from provision.portal.signin.refusals import RefusedError
from provision.portal.signin.settings import Platform as PlatformSettings
from tests.portal.issuer import Issuer
from tests.portal.loopback import KEY, NEXT_KEY, Twist, listed, new_key, signed, signed_raw
from tests.portal.platform import CLAIM, DEEP, ROLE, Platform, form_fields
from tests.portal.signin.visits import (
    OWN,
    ROSTER,
    SECRET,
    URL,
    House,
    Visit,
    browsers,
    from_issuer,
    from_platform,
    get_callback,
    lti_settings,
    oidc_settings,
    post_launch,
)

PERSON = "http://purl.imsglobal.org/vocab/lis/v2/"


def claims(**more: Any) -> Twist:
    return Twist(claims=lambda held: held.update(more))


def come_in(house: House, browser: Any, side: Issuer | Platform, to: str = "/machine?a=1") -> Person:
    """The whole way, and that it ends where it should."""
    if isinstance(side, Platform):
        side.target = f"{URL}{to}"
    said = from_platform(browser, side) if isinstance(side, Platform) else from_issuer(browser, to)
    answer = (post_launch if isinstance(side, Platform) else get_callback)(Visit(house, lambda: browser, browser, said))
    assert (answer.status_code, answer.headers["Location"]) == (303, to), answer.text
    person, path = house.admitted[-1]
    assert path == to
    return person


def test_oidc_student(issuer: Issuer, secret_file: Path) -> None:
    house = House()
    person = come_in(house, browsers(oidc_settings(issuer, secret_file), house)(), issuer)
    assert person == Person(f"{issuer.url}#u-1", "ada", "Ada Lovelace", "ada@uni.test", "student", "oidc")


OIDC_PEOPLE: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str | None, str]]] = {
    "capitals do not matter": ({"email": "ADA@uni.test"}, {}, ("ada", "student")),
    "id by a claim": ({"upn": "grace"}, {"student_claim": "upn"}, ("Grace", "student")),
    "id by a part of a claim": (
        {"upn": "ada@uni.test"},
        {"student_claim": "upn", "student_pattern": r"([a-z]+)@uni\.test"},
        ("ada", "student"),
    ),
    "address trusted as it is": ({"email_verified": None}, {"email_is_verified": True}, ("ada", "student")),
    "staff by a group": ({"email": "eve@uni.test", "groups": ["x", "tm351-staff"]}, {}, (None, "staff")),
    "staff by a word": ({"email": "eve@uni.test", "role": "tm351-staff"}, {"staff_claim": "role"}, (None, "staff")),
    "staff and student": ({"groups": ["tm351-staff"]}, {}, ("ada", "staff")),
    "many claims": ({"picture": "x" * 20000}, {}, ("ada", "student")),
    "one audience in a list": ({"aud": ["portal"]}, {}, ("ada", "student")),
}


@pytest.mark.parametrize(("said", "settings", "expected"), OIDC_PEOPLE.values(), ids=OIDC_PEOPLE.keys())
def test_oidc_people(
    said: dict[str, Any],
    settings: dict[str, Any],
    expected: tuple[str | None, str],
    issuer: Issuer,
    secret_file: Path,
) -> None:
    house = House()
    issuer.twist = Twist(lambda held: held.update(said), {"x5c": ["x" * 2000], "pi.atm": "own"}, signed_raw)
    person = come_in(house, browsers(oidc_settings(issuer, secret_file, **settings), house)(), issuer)
    assert (person.student, person.role) == expected


OTHER_KEYS: dict[str, Any] = {
    "ES256": ECKey.generate_key("P-256", {"kid": "other", "use": "sig"}),
    "PS256": new_key("other"),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "other", "use": "sig"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "other", "use": "sig"}),
}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(("alg", "key"), OTHER_KEYS.items(), ids=OTHER_KEYS.keys())
def test_oidc_other_algorithms(alg: str, key: Any, issuer: Issuer, secret_file: Path) -> None:
    house = House()
    issuer.twist = Twist(
        claims=lambda held: held.pop("at_hash"),
        sign=lambda held, _: jwt.encode({"alg": alg, "kid": "other"}, held, key, [alg]),
        keys=listed(KEY, key),
    )
    assert come_in(house, browsers(oidc_settings(issuer, secret_file), house)(), issuer).student == "ada"


def test_oidc_userinfo(issuer: Issuer, secret_file: Path) -> None:
    """Groups that are in userinfo alone count; what the signed token says, userinfo does not change."""
    house = House()
    issuer.twist = Twist(userinfo={"groups": ["tm351-staff"], "email": "grace@uni.test"})
    person = come_in(house, browsers(oidc_settings(issuer, secret_file, userinfo=True), house)(), issuer)
    assert (person.student, person.role) == ("ada", "staff")


def test_oidc_asks_little(issuer: Issuer, secret_file: Path) -> None:
    """Discovery and keys once, for both of two tabs, which end in any order."""
    house = House()
    browser = browsers(oidc_settings(issuer, secret_file), house)()
    tabs = [from_issuer(browser), from_issuer(browser)]
    for said in reversed(tabs):
        assert get_callback(Visit(house, lambda: browser, browser, said)).status_code == 303
    assert [issuer.asked.count(path) for path in ("/.well-known/openid-configuration", "/keys", "/token")] == [1, 1, 2]


def test_oidc_down(issuer: Issuer, secret_file: Path) -> None:
    """A provider that is down is not waited for by everybody in turn, and is found again."""
    house = House()
    browser = browsers(oidc_settings(issuer, secret_file), house)()
    issuer.twist = Twist(discovery={"issuer": "x"})
    assert [browser.get("/oidc/login").status_code for _ in range(3)] == [403, 503, 503]
    assert len(issuer.asked) == 1
    issuer.twist, house.later = Twist(), 6
    assert browser.get("/oidc/login").status_code == 302


def test_oidc_logout(issuer: Issuer, secret_file: Path) -> None:
    browser = browsers(oidc_settings(issuer, secret_file), House())()
    there = browser.get("/oidc/logout").headers["Location"]
    assert there == f"{issuer.url}/logout?client_id=portal&post_logout_redirect_uri=https%3A%2F%2Fportal.test%2F"
    issuer.twist = Twist(discovery={"end_session_endpoint": None})
    assert browsers(oidc_settings(issuer, secret_file), House())().get("/oidc/logout").headers["Location"] == "/"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_lti_login(method: str, platform: Platform, key_file: Path) -> None:
    """Answered with a redirect that browsers follow by GET, and a cookie that comes back by a form of another site."""
    browser = browsers(lti_settings(platform, key_file), House())()
    said = platform.initiation()
    answer = browser.get("/lti/login", params=said) if method == "GET" else browser.post("/lti/login", data=said)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{platform.url}/auth?")
    name, *rest = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-signin-lti=")
    assert rest == ["Max-Age=3600", "Path=/", "HttpOnly", "Secure", "SameSite=None", "Partitioned"]


def test_lti_student(platform: Platform, key_file: Path) -> None:
    house = House()
    person = come_in(house, browsers(lti_settings(platform, key_file), house)(), platform)
    assert person == Person(f"{platform.url}#u-1", "ada", "Ada Lovelace", "ada@uni.test", "student", "lti")


LTI_PEOPLE: dict[str, tuple[list[str], dict[str, Any], dict[str, Any], tuple[str | None, str]]] = {
    "a teacher": ([ROLE + "Instructor"], {"email": "eve@uni.test"}, {}, (None, "staff")),
    "a teacher, the short form": (["Instructor"], {"email": "eve@uni.test"}, {}, (None, "staff")),
    "an assistant": (
        [f"{PERSON}membership/Instructor#TeachingAssistant"],
        {"email": "eve@uni.test"},
        {},
        (None, "staff"),
    ),
    "an assistant where only they are staff": (
        [f"{PERSON}membership/Instructor#TeachingAssistant"],
        {"email": "eve@uni.test"},
        {"staff_roles": ["TeachingAssistant"]},
        (None, "staff"),
    ),
    "an administrator who studies here": (
        [f"{PERSON}system/person#Administrator", ROLE + "Learner"],
        {},
        {},
        ("ada", "student"),
    ),
    "both": ([ROLE + "Learner", ROLE + "Instructor"], {}, {}, ("ada", "staff")),
    "by sourcedid": (
        ["Learner"],
        {f"{CLAIM}lis": {"person_sourcedid": "grace"}},
        {"student": "sourcedid"},
        ("Grace", "student"),
    ),
    "by username": (
        ["Learner"],
        {f"{CLAIM}ext": {"user_username": "ada"}},
        {"student": "username"},
        ("ada", "student"),
    ),
    "by a field of one's own": (
        ["Learner"],
        {f"{CLAIM}custom": {"pi": "ada"}},
        {"student": "custom.pi"},
        ("ada", "student"),
    ),
}


@pytest.mark.parametrize(("roles", "said", "settings", "expected"), LTI_PEOPLE.values(), ids=LTI_PEOPLE.keys())
def test_lti_people(
    roles: list[str],
    said: dict[str, Any],
    settings: dict[str, Any],
    expected: tuple[str | None, str],
    platform: Platform,
    key_file: Path,
) -> None:
    house = House()
    platform.roles, platform.twist = roles, Twist(claims=lambda held: held.update(said))
    person = come_in(house, browsers(lti_settings(platform, key_file, **settings), house)(), platform)
    assert (person.student, person.role) == expected


def test_lti_tabs_and_portals(platform: Platform, key_file: Path) -> None:
    """Two tabs of one browser, ended in any order by another portal behind the same address."""
    house = House()
    settings = lti_settings(platform, key_file)
    first, second = browsers(settings, house)(), browsers(settings, house)()
    tabs = [from_platform(first, platform), from_platform(first, platform)]
    second.cookies = first.cookies
    for said in reversed(tabs):
        assert post_launch(Visit(house, lambda: second, second, said)).status_code == 303


def test_keys_rotate(platform: Platform, key_file: Path) -> None:
    """A new key is found at once; made-up ids do not make us ask at their pace; a withdrawn key ends in an hour."""
    house = House()
    browser = browsers(lti_settings(platform, key_file), house)()
    come_in(house, browser, platform)
    house.later, platform.twist = 31, Twist(keys=listed(NEXT_KEY), header={"kid": "second"})
    platform.twist.sign = lambda held, header: signed(held, header, NEXT_KEY)
    come_in(house, browser, platform)
    assert platform.asked.count("/keys") == 2
    platform.twist = Twist(keys=listed(NEXT_KEY), header={"kid": "made up"})
    for _ in range(3):
        said = from_platform(browser, platform)
        assert post_launch(Visit(house, lambda: browser, browser, said)).status_code == 400
    assert platform.asked.count("/keys") == 2
    platform.twist = Twist(keys_status=500, sign=lambda held, header: signed(held, header, NEXT_KEY))
    come_in(house, browser, platform)  # the platform's keys are away, and we know this one
    house.later = 31 + 3601
    platform.twist.claims = lambda held: held.update(iat=held["iat"] + 3632, exp=held["exp"] + 3632)
    said = from_platform(browser, platform)
    assert post_launch(Visit(house, lambda: browser, browser, said)).status_code == 503


@pytest.mark.parametrize("frame", ["iframe", "frame"])
def test_lti_leaves_a_frame(frame: str, platform: Platform, key_file: Path) -> None:
    """In a frame there is a button to a window, with what the platform said, and nobody else may frame it."""
    browser = browsers(lti_settings(platform, key_file), House())()
    platform.target = f'{URL}/machine?a="><script>'
    page = browser.post("/lti/login", data=platform.initiation(), headers={"Sec-Fetch-Dest": frame})
    assert page.status_code == 200
    assert "<script" not in page.text
    assert '<form method="get" action="/lti/login" target="_blank">' in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy == f"default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors {platform.url}"
    assert "Set-Cookie" not in page.headers


def test_deep_link(platform: Platform, key_file: Path) -> None:
    """A teacher chooses the portal in the course: our signed answer is the platform's to check."""
    browser = browsers(lti_settings(platform, key_file), House())()
    platform.message, platform.roles, platform.target = "LtiDeepLinkingRequest", ["Instructor"], f"{URL}/lti/select"
    platform.portal_keys = browser.get("/lti/keys").json()
    there = browser.get("/lti/login", params=platform.initiation(), headers={"Sec-Fetch-Dest": "iframe"})
    assert there.status_code == 302  # the platform itself keeps this in a frame
    page = post_launch(Visit(House(), lambda: browser, browser, from_platform(browser, platform)))
    assert page.status_code == 200
    assert f'<form method="post" action="{platform.url}/return">' in page.text
    assert f"form-action {platform.url};" in page.headers["Content-Security-Policy"]
    said = platform.deep_link(form_fields(page.text)["JWT"])
    assert (said["iss"], said["aud"], said[f"{CLAIM}deployment_id"]) == ("client-1", platform.url, "7")
    assert (said[f"{CLAIM}message_type"], said[f"{CLAIM}version"]) == ("LtiDeepLinkingResponse", "1.3.0")
    assert said[f"{DEEP}data"] == "d1"
    window = {"targetName": "_blank"}
    item = {"type": "ltiResourceLink", "title": "Your course machine", "url": f"{URL}/", "window": window}
    assert said[f"{DEEP}content_items"] == [item]


def test_own_keys_are_public(platform: Platform, key_file: Path) -> None:
    (key,) = browsers(lti_settings(platform, key_file), House())().get("/lti/keys").json()["keys"]
    assert {*key} == {"kty", "n", "e", "use", "alg", "kid"}


def member(who: str, role: str = "Learner", **more: str) -> dict[str, Any]:
    return {"user_id": who, "name": who, "email": f"{who}@uni.test", "roles": [role], **more}


def own_platform(platform: Platform, key_file: Path, **more: Any) -> tuple[PlatformSettings, Any]:
    settings = lti_settings(platform, key_file, **more)
    key = lti.own_key(settings)
    platform.portal_keys = {"keys": [key.as_dict(private=False)]}
    return settings.platform[0], key


def test_members(platform: Platform, key_file: Path) -> None:
    """All pages; who is new, gone or changed, with the keys that the roster has."""
    settings, key = own_platform(platform, key_file, student="sourcedid")
    platform.pages = [
        [member("ada", lis_person_sourcedid="ADA", name="Ada King", email="ada@uni.test"), member("t", "Instructor")],
        [member("bob", lis_person_sourcedid="bob"), member("nobody"), member("x", lis_person_sourcedid="bob")],
        [member("grace", lis_person_sourcedid="Grace", status="Inactive"), member("y", lis_person_sourcedid="a b")],
        [member("m", lis_person_sourcedid="m", email="")],
    ]
    changes = plan_roster(ROSTER, fetch_members(settings, key), settings)
    assert changes == RosterChanges(
        added=(Student("bob", "bob", "bob@uni.test"),),
        gone=ROSTER[1:],
        changed=((ROSTER[0], Student("ada", "Ada King", "ada@uni.test", ("ssh-ed25519 AAAA",))),),
        unusable=(
            "nobody: has no sourcedid that can be an id",
            "x: id bob is another member's, too",
            "y: has no sourcedid that can be an id",
            "m: the platform does not say an e-mail address",
        ),
    )


def test_members_by_address(platform: Platform, key_file: Path) -> None:
    """The roster's own ids stay; an unchanged roster has no changes."""
    settings, _ = own_platform(platform, key_file)
    said = [
        {"name": each.name, "email": each.email.upper() if each.id == "ada" else each.email, "roles": ["Learner"]}
        for each in ROSTER[:2]
    ]
    changes = plan_roster(ROSTER[:2], said, settings)
    assert [before.id for before, _ in changes.changed] == ["ada"]
    assert plan_roster(ROSTER[1:2], said[1:], settings) == RosterChanges()
    assert plan_roster((), [member("new")], settings).added == (Student("new", "new", "new@uni.test"),)


MEMBERS_WRONG: dict[str, tuple[list[list[dict[str, Any]]], str, str]] = {
    "next page elsewhere": ([[member("a")], []], "http://127.0.0.1:1/members", "is at another host"),
    "no list": ([["x"]], "", "lists no members"),  # type: ignore[list-item]
}


@pytest.mark.parametrize(("pages", "next_at", "words"), MEMBERS_WRONG.values(), ids=MEMBERS_WRONG.keys())
def test_members_wrong(
    pages: list[list[dict[str, Any]]], next_at: str, words: str, platform: Platform, key_file: Path
) -> None:
    settings, key = own_platform(platform, key_file)
    platform.pages, platform.next_at = pages, next_at
    with pytest.raises(ProvisionError, match=words):
        fetch_members(settings, key)


def test_nobody_listed_is_a_mistake(platform: Platform, key_file: Path) -> None:
    settings, _ = own_platform(platform, key_file)
    with pytest.raises(ProvisionError, match="no usable student"):
        plan_roster(ROSTER, [member("t", "Instructor")], settings)
    assert plan_roster((), [], settings) == RosterChanges()


def test_staff_learn_where_members_are(platform: Platform, key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "provision.portal.signin")
    house = House()
    place = "https://moodle.example.ac.uk/mod/lti/services.php/CourseSection/4711/bindings/17/memberships"
    service = {"https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {"context_memberships_url": place}}
    platform.roles, platform.twist = ["Instructor"], claims(**service)
    come_in(house, browsers(lti_settings(platform, key_file), house)(), platform)
    assert f"the course's members are listed at {place}" in caplog.text


def test_secrets(issuer: Issuer, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment where no file is named; missing, empty and wrong ones are said before anybody signs in."""
    house = House()
    for settings in (oidc_settings(issuer, None), lti_settings(platform, None)):
        with pytest.raises(InvalidInputError, match="is empty or not there"):
            browsers(settings, house)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        browsers(oidc_settings(issuer, tmp_path / "none"), house)
    monkeypatch.setenv("PROVISION_OIDC_CLIENT_SECRET", SECRET)
    come_in(house, browsers(oidc_settings(issuer, None), house)(), issuer)
    monkeypatch.setenv("PROVISION_LTI_KEY", OWN)
    come_in(house, browsers(lti_settings(platform, None), house)(), platform)
    for wrong in (KEY.as_pem(private=False).decode(), "x"):
        monkeypatch.setenv("PROVISION_LTI_KEY", wrong)
        with pytest.raises(InvalidInputError, match="LTI key"):
            browsers(lti_settings(platform, None), house)


WRONG_SETTINGS: dict[str, dict[str, Any]] = {
    "http": {"issuer": "http://uni.test"},
    "a password": {"auth_url": "https://a:b@uni.test"},
    "no host": {"token_url": "https:///token"},
    "no deployment": {"deployments": []},
    "no course": {"contexts": []},
    "a field that is none": {"student": "custom."},
    "a key that is none": {"secret": "x"},
}


@pytest.mark.parametrize("more", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_wrong_settings(more: dict[str, Any], platform: Platform) -> None:
    with pytest.raises(ValidationError):
        lti_settings(platform, None, **more)


@pytest.mark.parametrize("pattern", ["(", "ada", "(a)(b)"])
def test_wrong_pattern(pattern: str, issuer: Issuer) -> None:
    with pytest.raises(ValidationError):
        oidc_settings(issuer, None, student_pattern=pattern)


@given(st.lists(st.sampled_from([*"/\\:@?#.% \t\r\n", URL, "evil.test", "https", "a", "\u2044", "\u3002"]), max_size=6))
def test_no_path_leads_out(pieces: list[str]) -> None:
    """What is taken is a path here, as a browser reads it: no host, no scheme, and nothing that a browser drops."""
    try:
        path = local_path(URL, "".join(pieces))
    except RefusedError:
        return
    assert path[0] == "/"
    assert path[1:2] not in ("/", "\\")
    assert not {*path} & {*"\\\t\r\n "}
    assert urlsplit(urljoin(f"{URL}/oidc/callback", path)).netloc == "portal.test"
