import io
import json

import pytest
from rich.console import Console

from provision.cli.progress import JsonLines, Terminal
from provision.progress import amount


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_plain_lines_tell_begin_result_and_end() -> None:
    stream = io.StringIO()
    with Terminal(Console(file=stream, width=40)).phase("Uploading the course's image of this presentation") as phase:
        phase.note("not kept")
        phase.result("310 MiB [zstd]")
    first, last = lines(stream)
    assert first == "… Uploading the course's image of this presentation"
    assert last.startswith("✓ Uploading the course's image of this presentation (310 MiB [zstd])  ")
    assert last.endswith(" s")


def test_a_failed_phase_is_marked_and_the_error_goes_on() -> None:
    stream = io.StringIO()

    def fail() -> None:
        with Terminal(Console(file=stream, width=80)).phase("Baking"):
            raise ValueError("oven")

    with pytest.raises(ValueError, match="oven"):
        fail()
    assert lines(stream)[-1].startswith("✗ Baking")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines().phase("Uploading") as phase:
        phase.update(1, 2, "bytes")
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [each["state"] for each in said] == ["started", "running", "done"]
    assert (said[1]["done"], said[1]["total"], said[1]["unit"]) == (1, 2, "bytes")
    assert said[2]["seconds"] >= 0


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (512, "512 bytes"),
        (65536, "64 KiB"),
        (2**19, "512 KiB"),
        (3 * 2**20, "3 MiB"),
        (2**31, "2.00 GiB"),
    ],
)
def test_an_amount_is_never_none_of_a_unit(size: int, shown: str) -> None:
    assert amount(size) == shown
