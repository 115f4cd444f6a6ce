"""portal.toml's tables [oidc] and [lti], and the two secrets behind them, which come from files or the environment."""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from provision.errors import InvalidInputError

# The names of two variables, not what they hold.
OIDC_SECRET = "PROVISION_OIDC_CLIENT_SECRET"  # noqa: S105
LTI_KEY = "PROVISION_LTI_KEY"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def is_web(value: object) -> bool:
    """Whether it is an address that is safe to send people and secrets to. HTTP is for tests on the computer itself."""
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    return safe and bool(parts.hostname) and not (parts.username or parts.password or parts.fragment)


def _web(value: str) -> str:
    if not is_web(value):
        raise ValueError("must be an https:// address without user, password or #")
    return value


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc}") from exc
    if groups != 1:
        raise ValueError("must have one pair of brackets, around the part that is the student's id")
    return value


def _field(value: str) -> str:
    if value not in ("sourcedid", "username", "email") and not re.fullmatch(r"custom\.[\w-]{1,64}", value):
        raise ValueError('must be "sourcedid", "username", "email" or "custom.NAME"')
    return value


Web = Annotated[str, AfterValidator(_web)]
Text = Annotated[str, Field(min_length=1, max_length=255)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


class OidcSettings(BaseModel):
    """[oidc]: the provider, and how its claims say who is a student and who is staff."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="portal.toml [oidc]")

    issuer: Annotated[Web, Field(description="the provider's issuer, spelled as its discovery document spells it")]
    client_id: Annotated[Text, Field(description="what the provider calls the portal")]
    client_secret_file: Annotated[Path | None, Field(description=f"else ${OIDC_SECRET}")] = None
    scopes: Annotated[Texts, Field(description="openid must be one")] = ("openid", "profile", "email")
    userinfo: Annotated[bool, Field(description="ask for claims that are not in the ID token")] = False
    student_claim: Annotated[Text, Field(description="the claim that says which student; `email` is as good")] = "email"
    student_pattern: Annotated[
        Annotated[str, AfterValidator(_pattern)] | None, Field(description="what of the claim is the roster's id")
    ] = None
    email_is_verified: Annotated[
        bool, Field(description="trust addresses that the provider does not call verified")
    ] = False
    staff_claim: Annotated[Text, Field(description="the claim that lists groups or roles")] = "groups"
    staff_values: Annotated[tuple[Text, ...], Field(description="who has one of them is staff")] = ()


class Platform(BaseModel):
    """[[lti.platform]]: one registration in a learning environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="portal.toml [[lti.platform]]")

    issuer: Annotated[Web, Field(description="Platform ID")]
    client_id: Annotated[Text, Field(description="Client ID")]
    deployments: Annotated[Texts, Field(description="Deployment IDs")]
    contexts: Annotated[Texts, Field(description="the platform's ids of this course: teachers of others are not staff")]
    auth_url: Annotated[Web, Field(description="Authentication request URL")]
    token_url: Annotated[Web, Field(description="Access token URL")]
    keys_url: Annotated[Web, Field(description="Public keyset URL")]
    student: Annotated[
        Annotated[str, AfterValidator(_field)], Field(description="which field says which student of the roster it is")
    ] = "sourcedid"
    staff_roles: Annotated[Texts, Field(description="roles in the course that are staff")] = ("Instructor",)
    memberships_url: Annotated[Web | None, Field(description="where the course's members are listed")] = None


class LtiSettings(BaseModel):
    """[lti]: the portal's own key, and who may send people."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="portal.toml [lti]")

    key_file: Annotated[Path | None, Field(description=f"the portal's RSA key in PEM; else ${LTI_KEY}")] = None
    platform: Annotated[tuple[Platform, ...], Field(min_length=1)]


def read_secret(file: Path | None, variable: str, key: str) -> str:
    """A secret from its file, else from the environment. `key` is what names the file in portal.toml."""
    hint = f"Say in portal.toml where its file is, {key} = ..., or set {variable} in the environment."
    try:
        held = file.read_text() if file else os.environ.get(variable, "")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"{key}: {file} cannot be read: {exc}.", hint=hint) from exc
    if not held.strip():
        raise InvalidInputError(f"Nobody can sign in: the secret {key} is empty or not there.", hint=hint)
    return held.strip()
