"""Signing in to a cloud, and the one place where the cloud's errors become ours."""

import html
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from provision import __version__
from provision.clock import REAL, Clock
from provision.core.diagnosis import explain
from provision.core.retries import retry_after
from provision.errors import (
    AuthenticationError,
    BusyError,
    CapacityError,
    CloudError,
    InvalidInputError,
    NotFoundError,
    ProvisionError,
    UnsureError,
)
from provision.paths import lab_clouds_file

if TYPE_CHECKING:
    import requests
    from openstack.config import OpenStackConfig
    from openstack.connection import Connection as Connection  # for workflows, which do not know the SDK

log = logging.getLogger(__name__)

TIMEOUT = 60.0  # seconds without a byte, unless clouds.yaml says otherwise (api_timeout)


def connect(cloud: str | None, clock: Clock = REAL) -> "Connection":
    """Sign in, now, to `cloud` (of clouds.yaml, or a running lab's) or to what OS_CLOUD or OS_* name."""
    from openstack.connection import Connection

    _hush()
    name = cloud or os.environ.get("OS_CLOUD")
    with translated(f"Signing in to {f'cloud {name!r}' if name else 'the cloud that OS_* name'}", signing_in=True):
        region = _config(name, clock).get_one(cloud=name)
        region.config["api_timeout"] = region.config.get("api_timeout") or TIMEOUT
        connection = Connection(config=region)
        connection.session.get_token()  # not authorize(), which hides what went wrong
        if not connection.current_project_id:
            raise AuthenticationError(
                f"Cloud {name!r} gives a token without a project.", hint="Add project_name to it in clouds.yaml."
            )
    return connection


def _hush() -> None:
    """keystoneauth warns of an address that does not answer before it raises the error that we report."""
    if not logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger("keystoneauth.identity").setLevel(logging.ERROR)


def _config(name: str | None, clock: Clock) -> "OpenStackConfig":
    """Where `name` is found: the person's own clouds.yaml first, then the lab's, which is never merged into it."""
    from openstack.config import OpenStackConfig

    options: dict[str, Any] = {
        "session_constructor": partial(_keystone_session, clock),
        "app_name": "provision",
        "app_version": __version__,
    }
    own = OpenStackConfig(**options)
    if (name is None and "OS_AUTH_URL" in os.environ) or name in own.get_cloud_names():
        return own
    lab_file = lab_clouds_file()
    lab = OpenStackConfig(config_files=[str(lab_file)], secure_files=[], load_envvars=False, **options)
    lab_names = lab.get_cloud_names() if os.access(lab_file, os.R_OK) else []
    if name in lab_names:
        return lab
    known = ", ".join(sorted({*own.get_cloud_names(), *lab_names} - {"defaults"})) or "none"
    if name is None:
        raise InvalidInputError(
            f"No cloud is named. Clouds found: {known}.", hint="Name one with --os-cloud, or set OS_CLOUD."
        )
    hint = "Write it to ~/.config/openstack/clouds.yaml."
    if name.startswith("lab"):
        hint = "The lab is not there: start it with provision lab up."
    raise NotFoundError(f"There is no cloud {name!r}. Clouds found: {known}.", hint=hint)


def _keystone_session(clock: Clock, **options: Any) -> Any:
    from keystoneauth1.session import Session

    return Session(session=_http_session(clock), **options)


def _http_session(clock: Clock = REAL) -> "requests.Session":
    import requests

    from provision.cloud.patience import PatientAdapter

    session = requests.Session()
    session.hooks["response"] = [_note, _lost_token]
    for scheme in ("http://", "https://"):
        session.mount(scheme, PatientAdapter(clock))
    return session


def _note(response: "requests.Response", *_: Any, **__: Any) -> None:
    """What -v shows: neither headers nor bodies, for they hold tokens."""
    request, seconds = response.request, response.elapsed.total_seconds()
    log.debug("%s %s -> %d in %.2f s", request.method, request.url, response.status_code, seconds)


def _lost_token(response: "requests.Response", *_: Any, **__: Any) -> None:
    """Some services say 404 of a token that has ended. As a 401 it makes keystoneauth sign in once more, and go on."""
    signed = response.status_code == 404 and "X-Auth-Token" in response.request.headers
    if signed and re.search(_LOST, response.text[:2000], re.IGNORECASE | re.DOTALL):
        response.status_code = 401


@dataclass(frozen=True)
class _Row:
    """An answer by status and words, and what it means."""

    statuses: tuple[int, ...]
    words: str
    kind: type[ProvisionError]
    meaning: str
    hint: str | None = None


_SIGN_IN = "Look at the entry in clouds.yaml, or the OS_* variables: user, password, project, domains."
_ADDRESS = "Look at auth_url in clouds.yaml: it usually ends in /v3."
_ROLE = "Ask the operator for the role that it needs (for stacks often heat_stack_owner)."
_AGAIN = "Wait a minute and run the same command again; if it stays so, tell the operator."
_LOST = (
    r"token.{0,40}(expired|not valid|invalid|could not be found)|(find|validate|recognize|invalid|expired).{0,20}token"
)

# First match wins. A bad token can be 401 or 404; a quota 403, 409 or 413 (core/diagnosis.py knows its words).
_ANSWERS = (
    _Row((401,), "", AuthenticationError, "The credential is not accepted, or its token has ended.", _SIGN_IN),
    _Row((404,), _LOST, AuthenticationError, "The cloud does not know the token: it has ended.", _SIGN_IN),
    _Row((413,), "", CapacityError, "A quota or a limit is used up.", "Ask the cloud's operator to raise it."),
    _Row((403,), "", CloudError, "The user's role does not allow this.", _ROLE),
    _Row((404,), "", NotFoundError, "It does not exist, or this project cannot see it."),
    _Row((409,), "", CloudError, "It is in use, or exists already."),
    _Row((400,), "", CloudError, "The cloud refuses the request as wrong."),
    _Row((429,), "", BusyError, "The cloud asks for fewer calls.", _AGAIN),
    _Row((503,), "", BusyError, "A service of the cloud is in trouble.", _AGAIN),
    _Row((), "", UnsureError, "A service of the cloud is in trouble.", _AGAIN),
)

_TRUST = "With an application credential this is Heat's answer on many clouds: use a user with a password."


@contextmanager
def translated(what: str, *, signing_in: bool = False) -> Iterator[None]:
    """Raise what the SDK raises inside as a `ProvisionError`; `what` says what was being done (Creating a stack)."""
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException
    from requests.exceptions import RequestException

    try:
        yield
    except (SDKException, ClientException, RequestException) as exc:
        raise translate(exc, what, signing_in=signing_in) from exc


def translate(exc: Exception, what: str, *, signing_in: bool = False) -> ProvisionError:
    """The error that a person can act on, for one that the SDK raised."""
    status = getattr(exc, "status_code", None) or getattr(exc, "http_status", None)
    if isinstance(status, int) and status >= 400:
        return _answer(exc, status, what, signing_in=signing_in)
    return _silence(exc, what)


def _answer(exc: Exception, status: int, what: str, *, signing_in: bool) -> ProvisionError:
    said = _said(exc)
    known = None if status in (401, 404, 429) else explain(said)
    if known:
        return CapacityError(f"{what} failed. {known.meaning} The cloud says: {said}", hint=known.hint)
    if signing_in and status == 404 and not re.search(_LOST, said, re.IGNORECASE):
        return AuthenticationError(
            f"{what} failed. What answers there is not an identity service. The cloud says: {said}",
            hint=_ADDRESS,
        )
    row = next(
        row
        for row in _ANSWERS
        if (not row.statuses or status in row.statuses) and re.search(row.words, said, re.IGNORECASE | re.DOTALL)
    )
    hint = _TRUST if status == 500 and _creates_stack(exc) else row.hint
    message = f"{what} failed. {row.meaning} The cloud says: {said} (HTTP {status})"
    if row.kind is BusyError:
        headers = getattr(getattr(exc, "response", None), "headers", None) or {}
        return BusyError(message, hint=hint, wait=retry_after(headers.get("Retry-After"), REAL.now()))
    return row.kind(message, hint=hint)


def _creates_stack(exc: Exception) -> bool:
    return getattr(exc, "method", None) == "POST" and str(getattr(exc, "url", "")).endswith("/stacks")


def _said(exc: Exception) -> str:
    """The cloud's own words, on one line, without the SDK's decoration."""
    words = getattr(exc, "details", None) or getattr(exc, "message", None) or str(exc)
    line = re.sub(r" \(HTTP \d+\)", "", " ".join(html.unescape(str(words)).split()))  # some answer in HTML
    return (line if len(line) <= 400 else line[:397] + "...").rstrip()


def _silence(exc: Exception, what: str) -> ProvisionError:
    """No answer came, or no request could be made."""
    from keystoneauth1 import exceptions as keystone
    from openstack import exceptions as sdk
    from requests import exceptions as http

    said = re.sub(r"HTTPConnectionPool.*\[Errno -?\d+\] ([\w ]+).*", r"\1.", _said(exc))
    if isinstance(exc, keystone.SSLError | http.SSLError):
        return CloudError(f"{what} failed: its certificate is not trusted. {said}", hint="Set cacert in clouds.yaml.")
    if isinstance(exc, keystone.ConnectTimeout | http.Timeout):
        return UnsureError(f"{what} failed: no answer in time. {said}", hint="Is the address right, and the cloud up?")
    if isinstance(exc, keystone.DiscoveryFailure):
        return CloudError(f"{what} failed: what answers there is not an identity service. {said}", hint=_ADDRESS)
    if isinstance(exc, keystone.ConnectFailure | http.ConnectionError):
        return UnsureError(
            f"{what} failed: nothing answers there. {said}",
            hint="Is the address in clouds.yaml right, and the cloud (for the lab: provision lab status) up?",
        )
    if isinstance(exc, keystone.EndpointNotFound | sdk.EndpointNotFound | sdk.NotSupported | keystone.EmptyCatalog):
        return CloudError(f"{what} failed: this cloud does not offer the service that it needs. {said}")
    if isinstance(exc, sdk.ConfigException | keystone.AuthPluginException | keystone.MissingRequiredOptions):
        return AuthenticationError(f"{what} failed: the credential is not complete. {said}", hint=_SIGN_IN)
    if isinstance(exc, keystone.UnknownConnectionError | http.RequestException):
        return UnsureError(f"{what} failed: the answer broke off, or is not the cloud's. {said}", hint=_AGAIN)
    return CloudError(f"{what} failed. {said}")
