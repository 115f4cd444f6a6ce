"""A student's first password, its hash for Jupyter, and key pairs."""

import secrets
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# No vowels, so that no word forms, and none that are mistaken for each other when read from paper: 0 O, 1 l I, 5 S.
_ALPHABET = "bcdfghjkmnpqrtvwxz2346789"
_GROUPS, _GROUP = 4, 4

# What jupyter_server.auth.passwd uses; the server only needs the parameters that the hash itself carries.
_HASHER = PasswordHasher(memory_cost=10240, time_cost=10, parallelism=8)


@dataclass(frozen=True)
class KeyPair:
    """An ed25519 key pair in OpenSSH's own formats."""

    private: str = field(repr=False)
    public: str


def new_password() -> str:
    """A password of 74 bits that can be read out and typed: four groups of four, joined by hyphens."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def jupyter_hash(password: str) -> str:
    """The hash that Jupyter Server takes as `PasswordIdentityProvider.hashed_password`."""
    return "argon2:" + _HASHER.hash(password)


def new_key_pair(comment: str) -> KeyPair:
    """Make a key pair whose public half ends in `comment`."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), f"{public.decode()} {comment}")
