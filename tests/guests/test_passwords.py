"""Which passwords are found out, by hashes that other programs made."""

import subprocess

import pytest

from provision.errors import InvalidInputError
from provision.guests.passwords import COMMON, has_password, is_open, known_password
from provision.guests.system import Account


def hashed(word: str, setting: str) -> str:
    """crypt(3) as Perl has it."""
    return subprocess.run(
        ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", word, setting], check=True, capture_output=True, text=True
    ).stdout


def account(password: str, name: str = "joe") -> Account:
    return Account(name, f"/home/{name}", password, "/etc/shadow")


SETTINGS = {
    "yescrypt": "$y$j9T$Ltp1lpPPY59bkc6LOor1h.$",
    "sha512": "$6$Ltp1lpPP$",
    "sha512 of many rounds": "$6$rounds=100000$Ltp1lpPP$",
    "sha256": "$5$Ltp1lpPP$",
    "bcrypt": "$2b$05$Ltp1lpPPY59bkc6LOor1hu",
    "md5": "$1$Ltp1lpPP$",
    "des": "Lt",
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(("word", "known"), [("vagrant", True), ("joe", True), ("gravel-Umbra-9", False)])
def test_a_known_password_is_found_in_every_hash(kind: str, word: str, known: bool) -> None:
    assert known_password(account(hashed(word, SETTINGS[kind]))) == (word if known else None)


@pytest.mark.parametrize("word", COMMON)
def test_all_of_them_are_tried(word: str) -> None:
    assert known_password(account(hashed(word, "$1$Ltp1lpPP$"))) == word


@pytest.mark.parametrize(
    "password",
    [
        "$6$rounds=999999999$Ltp1lpPP$" + "x" * 86,
        "$y$jFT$Ltp1lpPPY59bkc6LOor1h.$" + "x" * 43,
        "$2b$31$" + "x" * 53,
        "$7$unknown",
        "x" * 10_000,
        "$6$\N{SNOWMAN}\0$x",
    ],
)
def test_what_would_take_too_long_or_is_not_known_is_said(password: str) -> None:
    with pytest.raises(InvalidInputError, match="joe's password"):
        known_password(account(password))


def test_one_that_costs_much_is_tried_a_little() -> None:
    with pytest.raises(InvalidInputError, match="only 4 were tried"):
        known_password(account(hashed("gravel-Umbra-9", "$6$rounds=656000$Ltp1lpPP$")))


@pytest.mark.parametrize(
    ("password", "is_empty", "may_log_in"),
    [("", True, False), ("*", False, False), ("!$6$x", False, False), ("$1$x", False, True)],
)
def test_locked_and_empty(password: str, is_empty: bool, may_log_in: bool) -> None:
    assert (is_open(account(password)), has_password(account(password))) == (is_empty, may_log_in)
