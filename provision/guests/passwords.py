"""Whether an account's password is one that everybody tries first.

libcrypt by ctypes, as Ansible does it: it alone knows yescrypt, Debian's own since 11; Python's `crypt` is gone from
3.13 on, and passlib knows no yescrypt and is not maintained.
"""

import ctypes
import re
from functools import cache
from typing import cast

from provision.errors import InvalidInputError
from provision.guests.system import Account

COMMON = (
    "vagrant",
    "password",
    "ubuntu",
    "debian",
    "student",
    "root",
    "admin",
    "toor",
    "changeme",
    "123456",
    "osboxes.org",
    "packer",
    "letmein",
    "oustudent",
)
BUDGET = 2000  # milliseconds, about, that trying one account may cost
_DATA = 32768  # sizeof(struct crypt_data)
_YESCRYPT = {"j75": 1, "j85": 2, "j7T": 5, "j8T": 10, "j9T": 20}  # milliseconds; above that, 32 MiB of memory and more
_SHA_ROUNDS, _SHA_PER_MS, _BCRYPT_MS = 5000, 1500, 2
_HASH = re.compile(
    r"\$(?P<sha>[56])\$(?:rounds=(?P<rounds>\d{1,9})\$)?[^$:]{0,16}\$[./0-9A-Za-z]+"
    r"|\$g?y\$(?P<yescrypt>j[0-9A-Z]{2})\$[./0-9A-Za-z]*\$[./0-9A-Za-z]+"
    r"|\$2[abxy]\$(?P<bcrypt>[0-3]\d)\$[./0-9A-Za-z]{53}"
    r"|\$1\$[^$:]{0,8}\$[./0-9A-Za-z]{22}"
    r"|[./0-9A-Za-z]{13}"
)


def is_open(account: Account) -> bool:
    """True for an account that needs no password."""
    return not account.password


def has_password(account: Account) -> bool:
    """True for an account whose password is not locked."""
    return bool(account.password) and account.password[0] not in "!*"


def known_password(account: Account) -> str | None:
    """The account's password if it is one of the well-known ones or its own name.

    Raises InvalidInputError if that cannot be found out.
    """
    words = tuple(dict.fromkeys((account.name, *COMMON)))
    affordable = int(BUDGET // _milliseconds(account))
    for word in words[:affordable]:
        if _crypt(word, account) == account.password:
            return word
    if affordable < len(words):
        raise InvalidInputError(f"{account.name}'s password costs so much to try that only {affordable} were tried")
    return None


def _milliseconds(account: Account) -> float:
    """What one try costs, about: a hash may ask for hours and gigabytes."""
    fields = _HASH.fullmatch(account.password)
    if not fields:
        raise _unknown(account)
    if fields["sha"]:
        return 1 + int(fields["rounds"] or _SHA_ROUNDS) / _SHA_PER_MS
    if fields["bcrypt"]:
        return (1 << max(int(fields["bcrypt"]) - 5, 0)) * _BCRYPT_MS
    if fields["yescrypt"]:
        return _YESCRYPT.get(fields["yescrypt"], 2 * BUDGET)
    return 1


def _crypt(word: str, account: Account) -> str:
    """crypt(3): the hash of `word`, made as the account's own was."""
    data = ctypes.create_string_buffer(_DATA)
    made = _library().crypt_rn(word.encode(), account.password.encode(), data, _DATA)
    if not made:
        raise _unknown(account)
    return cast("bytes", made).decode(errors="replace")


def _unknown(account: Account) -> InvalidInputError:
    return InvalidInputError(f"{account.name}'s password has a hash that is not known here")


@cache
def _library() -> ctypes.CDLL:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
            library.crypt_rn.restype = ctypes.c_char_p
        except (OSError, AttributeError):
            continue
        return library
    raise InvalidInputError("passwords cannot be tried: there is no libxcrypt here")
