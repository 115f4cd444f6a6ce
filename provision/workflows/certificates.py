"""The certificate that a course brings for its machines: read where course.toml names it, and refused if unsound."""

from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from provision.core.course import Course
from provision.errors import InvalidInputError, NotFoundError


def certificate_variables(course: Course, folder: Path, now: datetime) -> dict[str, object]:
    """What the roles are told of it; nothing if there is none. `folder` is course.toml's."""
    names = course.public.certificate, course.public.certificate_key
    if not all(names):
        return {}
    certificate, key = (folder / str(name) for name in names)
    told: dict[str, object] = {"nginx_proxy_certificate": _read(certificate), "nginx_proxy_certificate_key": _read(key)}
    try:
        first = load_pem_x509_certificates(certificate.read_bytes())[0]
    except ValueError as exc:
        raise InvalidInputError(f"{certificate} is no certificate in PEM.") from exc
    try:
        own = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError) as exc:
        raise InvalidInputError(f"{key} is no key in PEM without a password.") from exc
    if own.public_key() != first.public_key():
        raise InvalidInputError(f"{key} is not the key of {certificate}.", hint="The machine's own comes first in it.")
    if first.not_valid_after_utc < now:
        raise InvalidInputError(f"{certificate} was good until {first.not_valid_after_utc:%Y-%m-%d}.")
    return told


def _read(place: Path) -> str:
    try:
        return place.read_text("ascii")
    except OSError as exc:
        raise NotFoundError(f"{place} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"{place} is not PEM.") from exc
