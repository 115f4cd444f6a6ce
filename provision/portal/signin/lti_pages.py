"""The two pages of LTI's own: out of a frame into a window, and back to the platform with a deep link."""

import secrets
from collections.abc import Mapping

from jinja2 import Environment
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.responses import HTMLResponse

from provision.portal.signin.house import House
from provision.portal.signin.lti_message import CLAIM, DEEP_SETTINGS, DEPLOYMENT, MESSAGE_TYPE, origin
from provision.portal.signin.settings import Platform
from provision.portal.signin.tokens import Claims

WINDOW = ("Your machine opens in a window of its own.", "Open it")
LINK = ("This adds a link to this course. Students press it to get their own machine.", "Add the link")
TITLE = "Your course machine"
VALID = 300  # seconds

# No script: a strict policy lets none run, and a person presses a button with open eyes.
_PAGE = Environment(autoescape=True).from_string(
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{{ title }}</title>\n'
    '<main>\n<h1>{{ title }}</h1>\n<p>{{ words }}</p>\n<form method="{{ method }}" action="{{ action }}"'
    '{% if target %} target="{{ target }}"{% endif %}>\n{% for name, value in fields.items() %}'
    '<input type="hidden" name="{{ name }}" value="{{ value }}">\n{% endfor %}'
    '<button type="submit">{{ button }}</button>\n</form>\n</main>\n</html>\n'
)


def window_page(action: str, fields: Mapping[str, str], platform: Platform) -> HTMLResponse:
    """For a frame, where browsers keep our cookies back: the same login again, in a window."""
    words, button = WINDOW
    page = _PAGE.render(
        title=TITLE, words=words, button=button, method="get", action=action, target="_blank", fields=fields
    )
    framer = " ".join(sorted({origin(platform.issuer), origin(platform.auth_url)}))
    return _answer(page, f"form-action 'self'; frame-ancestors {framer}")


def deep_link_page(claims: Claims, platform: Platform, house: House, own: RSAKey) -> HTMLResponse:
    """The link that a teacher puts into the course (LTI Deep Linking 2.0, 4.4), to be sent by a button."""
    settings = claims[DEEP_SETTINGS]
    back = str(settings["deep_link_return_url"])
    words, button = LINK
    token = jwt.encode({"alg": "RS256", "kid": own.kid}, _response(claims, platform, house), own, algorithms=["RS256"])
    page = _PAGE.render(title=TITLE, words=words, button=button, method="post", action=back, fields={"JWT": token})
    return _answer(page, f"form-action {origin(back)}; frame-ancestors {origin(platform.issuer)} {origin(back)}")


def _response(claims: Claims, platform: Platform, house: House) -> Claims:
    now = int(house.now())
    settings = claims[DEEP_SETTINGS]
    window = {"targetName": "_blank"}
    item = {"type": "ltiResourceLink", "title": TITLE, "url": f"{house.url}/", "window": window}
    data = {"https://purl.imsglobal.org/spec/lti-dl/claim/data": settings["data"]} if "data" in settings else {}
    return {
        **{"iss": platform.client_id, "aud": platform.issuer, "iat": now, "exp": now + VALID},
        "nonce": secrets.token_urlsafe(16),
        DEPLOYMENT: claims[DEPLOYMENT],
        MESSAGE_TYPE: "LtiDeepLinkingResponse",
        f"{CLAIM}version": "1.3.0",
        "https://purl.imsglobal.org/spec/lti-dl/claim/content_items": [item],
        **data,
    }


def _answer(page: str, policy: str) -> HTMLResponse:
    return HTMLResponse(
        page,
        headers={
            "Content-Security-Policy": f"default-src 'none'; base-uri 'none'; {policy}",
            "Cache-Control": "no-store",
        },
    )
