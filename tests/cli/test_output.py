"""Tables on stdout: nothing is cut, whatever the width."""

import os
import pty
import subprocess
import sys

import pytest

from provision.cli.output import print_rows

LONG = "x" * 150
PROGRAM = f"""
from provision.cli.output import print_rows
print_rows([{{"id": {LONG!r}, "b": "[b]"}}], "table", columns=("id", "b"))
"""


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"id": LONG, "b": "[b]"}, {"id": 1, "b": None}], "table", columns=("id", "b"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["id", "b"], [LONG, "[b]"], ["1"]]


def test_on_a_terminal_a_long_word_is_folded() -> None:
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=child, env=environment) as program:
        os.close(child)
        said = bytearray()
        try:
            while part := os.read(parent, 4096):
                said += part
        except OSError:  # Linux's word for the end of a terminal
            pass
        os.close(parent)
    assert program.returncode == 0
    words = said.decode().split()
    assert sum(word.count("x") for word in words) == len(LONG)
    assert all(len(word) < 60 for word in words)
