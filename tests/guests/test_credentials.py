import subprocess
from pathlib import Path

from jupyter_server.auth.security import passwd_check

from provision.guests.credentials import jupyter_hash, new_key_pair, new_password


def test_passwords_differ_and_can_be_read_out() -> None:
    passwords = {new_password() for _ in range(500)}
    assert len(passwords) == 500
    assert all(len(password) == 19 and not set(password) & set("01lIO5aeiou ") for password in passwords)


def test_jupyter_takes_the_hash() -> None:
    hashed = jupyter_hash("correct horse")
    assert passwd_check(hashed, "correct horse")  # type: ignore[no-untyped-call]  # jupyter_server types little
    assert not passwd_check(hashed, "correct horses")  # type: ignore[no-untyped-call]  # likewise


def test_ssh_takes_the_key(tmp_path: Path) -> None:
    pair = new_key_pair("ada@demo-26j")
    key = tmp_path / "key"
    key.write_text(pair.private)
    key.chmod(0o600)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
    assert derived.split()[:2] == pair.public.split()[:2]
    assert pair.public.endswith(" ada@demo-26j")


def test_nothing_secret_is_shown() -> None:
    pair = new_key_pair("ada")
    assert "PRIVATE" not in repr(pair)
