"""A student's first password, its hash for Jupyter, and key pairs."""

import secrets
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# No vowels, so that no word forms, and none that are mistaken for each other when read from paper: 0 O, 1 l I, 5 S.
_ALPHABET = "bcdfghjkmnpqrtvwxz2346789"
_GROUPS, _GROUP = 4, 4

# Half a millisecond and 1 MiB, where jupyter_server.auth.passwd takes 60 ms: stretching is for passwords that people
# think of. Ours have 74 random bits: at a million million tries a second, hundreds of years. The hash carries its own
# parameters, and a password that the student sets later is hashed by Jupyter with its own.
_HASHER = PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1)


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
    """The hash, as Jupyter Server takes it (`PasswordIdentityProvider.hashed_password`), of a `new_password`."""
    return "argon2:" + _HASHER.hash(password)


def new_key_pair(comment: str) -> KeyPair:
    """Make a key pair whose public half ends in `comment`."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), f"{public.decode()} {comment}")
