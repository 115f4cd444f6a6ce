"""The client of the readiness probe against a real Jupyter Server on loopback."""

import pytest

from provision.guests.jupyter import Jupyter, JupyterError


def test_the_password_signs_in_and_no_other(url: str, password: str) -> None:
    assert Jupyter(url).sign_in(password)
    assert not Jupyter(url).sign_in(password + "x")
    assert not Jupyter(url).sign_in("")


def test_a_cell_runs_and_its_kernel_is_removed(url: str, password: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(password)
    assert browser.run("print(6 * 7)", deadline=60) == "42\n"
    assert browser.http.get(url + "api/kernels", timeout=10).json() == []


def test_a_failing_cell_says_why(url: str, password: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(password)
    with pytest.raises(JupyterError, match="ZeroDivisionError"):
        browser.run("1 / 0", deadline=60)


def test_a_kernel_needs_a_login(url: str) -> None:
    with pytest.raises(JupyterError, match="403"):
        Jupyter(url).run("print(1)", deadline=10)


def test_nobody_there() -> None:
    with pytest.raises(JupyterError, match="GET /login failed"):
        Jupyter("http://127.0.0.1:9/").sign_in("")


def test_a_terminal_runs_a_command_and_is_removed(url: str, password: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(password)
    code, shown = browser.type("echo $((6 * 7)); false", deadline=60)
    assert code == 1
    assert "42" in shown
    assert browser.http.get(url + "api/terminals", timeout=10).json() == []


def test_a_command_that_does_not_end(url: str, password: str) -> None:
    browser = Jupyter(url)
    assert browser.sign_in(password)
    with pytest.raises(JupyterError, match="terminal"):
        browser.type("sleep 60", deadline=2)


def test_a_certificate_of_the_machines_own_is_taken_where_that_is_said(tls_url: str, password: str) -> None:
    browser = Jupyter(tls_url, trusted=False)
    assert browser.sign_in(password)
    assert browser.run("print(6 * 7)", deadline=60) == "42\n"
    with pytest.raises(JupyterError, match="certificate"):
        Jupyter(tls_url).sign_in(password)
