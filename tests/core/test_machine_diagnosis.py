"""The first cause, not the last symptom: what is seen of a machine, and what is named for it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.machine_diagnosis import Facts, diagnose
from provision.core.servers import Server

UP = "[  OK  ] Started nginx.service\nDebian GNU/Linux 12 demo-26J-ada ttyS0\n\ndemo-26J-ada login: "
GOING = "[  OK  ] Reached target local-fs.target\n"
OOM = "[  312.1] Out of memory: Killed process 811 (python3) total-vm:9000kB\n"
EXEC = "jupyter.service: Failed at step EXEC spawning /opt/jupyter/bin/jupyter: Permission denied\n"


def server(status: str = "ACTIVE", task: str = "", fault: str = "") -> Server:
    return Server("s1", "demo-26J-ada", status, task, fault)


def inside(**more: Any) -> dict[str, Any]:
    """What the caretaker of a machine says that is well, but for `more`."""
    return {
        "student": "ada",
        "failed": {},
        "oom": [],
        "full": {},
        "not_executable": [],
        "password_file": "0640 root:student",
        "cookie_file": "0640 root:student",
        "listening": ["22", "80", "127.0.0.1:8888"],
        "cloud_init": [],
        "memory_mb": 1024,
        "uptime": 90000.0,
        **more,
    }


WELL = Facts("CREATE_COMPLETE", server=server(), console=UP, web="serving", password=True)
DOWN = replace(WELL, web="starting", password=None)
FAILED = {"jupyter.service": "exit-code 1"}

# What is seen, and the causes that are named, the first one first.
CASES: dict[str, tuple[Facts, list[str]]] = {
    "no machine": (Facts(), ["no machine"]),
    "a stack that failed": (Facts("CREATE_FAILED", "No valid host was found."), ["stack failed"]),
    "a stack under way": (Facts("CREATE_IN_PROGRESS"), ["being made"]),
    "a server deleted by hand": (Facts("CREATE_COMPLETE"), ["server gone"]),
    "a server in ERROR": (replace(WELL, server=server("ERROR", fault="disk on fire"), web="silent"), ["server error"]),
    "asleep": (replace(WELL, server=server("SUSPENDED"), console="", web="silent"), ["asleep"]),
    "shelved": (replace(WELL, server=server("SHELVED_OFFLOADED"), console="", web="silent"), ["asleep"]),
    "switched off by its student": (replace(WELL, server=server("SHUTOFF"), console="", web="silent"), ["asleep"]),
    "on its way": (replace(WELL, server=server(task="rebooting"), web="silent"), ["in transit"]),
    "no floating IP": (replace(WELL, address=False, web="silent"), ["address gone"]),
    "a rule was taken away": (replace(WELL, missing=("tcp 80 from 0.0.0.0/0",), web="silent"), ["rule missing"]),
    "a kernel without its disk": (replace(DOWN, console="Kernel panic - not syncing: VFS", web="silent"),
                                  ["boot failed", "starting"]),
    "a full disk stops services": (replace(DOWN, inside=inside(full={"/": 100, "/boot": 91}, failed=FAILED)),
                                   ["disk full", "service failed", "starting"]),
    "a full disk on the console": (replace(DOWN, console="sh: write error: No space left on device\n" + UP),
                                   ["disk full", "starting"]),
    "the kernel ended Jupyter": (replace(DOWN, inside=inside(oom=["jupyter-lab"], failed=FAILED)),
                                 ["out of memory", "service failed", "starting"]),
    "systemd says oom-kill": (replace(DOWN, inside=inside(failed={"jupyter.service": "oom-kill"})),
                              ["out of memory", "service failed", "starting"]),
    "out of memory on the console": (replace(DOWN, console=OOM + UP), ["out of memory", "starting"]),
    "no execute bit": (replace(DOWN, inside=inside(not_executable=["/opt/jupyter/bin/jupyter"], failed=FAILED)),
                       ["not executable", "service failed", "starting"]),
    "no execute bit on the console": (replace(DOWN, console=EXEC + "Failed to start JupyterLab\n" + UP),
                                      ["not executable", "service failed", "starting"]),
    "the password's file is gone": (replace(WELL, password=False, inside=inside(password_file="absent")),
                                    ["password file", "wrong password"]),
    "everybody reads the password's file": (replace(WELL, password=False,
                                                    inside=inside(password_file="0644 student:student")),
                                            ["password file", "wrong password"]),
    "another password": (replace(WELL, password=False, inside=inside()), ["wrong password"]),
    "a service failed": (replace(DOWN, inside=inside(failed=FAILED)), ["service failed", "starting"]),
    "a service says that it failed": (replace(DOWN, services={"jupyter": "starting", "postgresql": "failed"}),
                                      ["service failed", "starting"]),
    "first boot was not done": (replace(DOWN, inside=inside(cloud_init=["no datasource"])),
                                ["first boot failed", "starting"]),
    "a port that something blocks": (replace(WELL, web="silent", password=None, inside=inside()), ["port blocked"]),
    "a port that something blocks, unasked": (replace(WELL, web="silent", password=None), ["port blocked"]),
    "nginx is off": (replace(WELL, web="refused", password=None, inside=inside(listening=["22"])), ["web server off"]),
    "it boots": (replace(WELL, console=GOING, web="refused", password=None), ["starting"]),
    "nothing is known": (replace(WELL, web="refused", password=None), ["unknown"]),
    "well": (WELL, []),
    "well, asked inside too": (replace(WELL, inside=inside()), []),
    "well, with a program that was ended": (replace(WELL, inside=inside(oom=["python3"])), ["out of memory"]),
    "well, with a disk that fills": (replace(WELL, inside=inside(full={"/": 93})), []),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "kinds"), CASES.values(), ids=CASES.keys())
def test_the_first_cause_comes_first(facts: Facts, kinds: list[str]) -> None:
    found = diagnose(facts)
    assert [cause.kind for cause in found.causes] == kinds
    assert found.well == (facts.web == "serving" and facts.password is True)
    assert all(cause.says and cause.do for cause in found.causes)


def test_numbers_and_names_are_in_the_words() -> None:
    says = {cause.kind: cause.says for case in CASES.values() for cause in diagnose(case[0]).causes}
    assert "disk on fire" in says["server error"]
    assert "tcp 80 from 0.0.0.0/0" in says["rule missing"]
    full = diagnose(CASES["a full disk stops services"][0]).causes[0].says
    assert "/ (100 %)" in full
    assert "/boot" not in full
    assert "python3" in diagnose(CASES["out of memory on the console"][0]).causes[0].says
    assert "of 1024 MB" in diagnose(CASES["the kernel ended Jupyter"][0]).causes[0].says


@given(
    st.sampled_from(["", "CREATE_COMPLETE", "CREATE_FAILED", "DELETE_IN_PROGRESS"]),
    st.sampled_from([None, *map(server, ("ACTIVE", "ERROR", "BUILD", "SUSPENDED", "REBUILD"))]),
    st.sampled_from(["", "serving", "starting", "refused", "silent"]),
    st.sampled_from([None, True, False]),
    st.text(max_size=40),
    st.booleans(),
)
def test_whoever_is_not_well_is_told_a_cause(
    stack: str, server: Server | None, web: Any, password: bool | None, console: str, asked: bool
) -> None:
    facts = Facts(stack, server=server, web=web, password=password, console=console, inside=inside() if asked else {})
    found = diagnose(facts)
    assert found.well or found.causes
