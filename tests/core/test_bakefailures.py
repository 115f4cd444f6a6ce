"""What stopped a bake: what programs really say, and what it means."""

import pytest

from provision.core.bakefailures import explain


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("dpkg: error: unable to copy extracted data: failed to write (No space left on device)", "disk is full"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "disk is full"),
        # A full disk shows itself in many ways at once.
        ("Failed to fetch http://a/b\nOSError: [Errno 28] No space left on device", "disk is full"),
        ("cannot remove 'a': Read-only file system", "could not be written"),
        ("Failed to update apt cache after 5 retries: ", "could not be reached"),
        ("Err:1 http://deb.example.org bookworm InRelease\n  Temporary failure resolving 'deb.example.org'", "reached"),
        ("E: Failed to fetch http://a/b.deb  Connection failed", "could not be reached"),
        # What is left to say where there are no lists of packages either.
        ("E: Unable to locate package python3-apt", "could not be reached"),
        ("NewConnectionError('<...>: [Errno 101] Network is unreachable')", "could not be reached"),
        ("ERROR: No matching distribution found for pandas>=99", "pip found no packages"),
        ("E: dpkg was interrupted, you must manually run 'dpkg --configure -a'", "in disorder"),
        ("/usr/bin/python3: not found", "Python"),
        ("Failed to connect to the host via ssh: Connection to 127.0.0.1 closed", "stopped answering"),
    ],
)
def test_what_is_known_is_explained(said: str, meaning: str) -> None:
    found = explain(said)
    assert found is not None
    assert meaning in found.meaning
    assert found.hint


def test_what_is_not_known_is_left_as_it_is() -> None:
    assert explain("nginx: [emerg] unknown directive") is None
