"""Ansible on a machine that ssh reaches: a tree that is being baked, or a live one."""

import os
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from provision.errors import CommandError
from provision.paths import data_path
from provision.process import log

FAILURES = ("runner_on_failed", "runner_on_unreachable")
_SETTINGS = {
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
    "ANSIBLE_GATHERING": "explicit",
    "ANSIBLE_HOST_KEY_CHECKING": "true",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_NOCOWS": "1",
    "ANSIBLE_PIPELINING": "true",
    "ANSIBLE_RETRY_FILES_ENABLED": "false",
    "ANSIBLE_SYSTEM_WARNINGS": "false",
}


@dataclass(frozen=True)
class Played:
    """What a playbook did: how many tasks ran, and which of them changed something."""

    tasks: int
    changed: tuple[str, ...]


def play(
    playbook: str,
    host: str,
    ssh_config: Path,
    variables: Mapping[str, object],
    *,
    on_task: Callable[[str], None],
) -> Played:
    """Run playbooks/`playbook` on the machine that `ssh_config` calls `host`.

    `variables` reach Ansible in a file. `on_task` is called with each task's name. Raises CommandError with the
    failed task and its message, KeyboardInterrupt if it was interrupted.
    """
    ran: list[str] = []
    changed: list[str] = []
    failed: list[str] = []

    def on_event(event: dict[str, Any]) -> bool:
        data = event.get("event_data", {})
        name = f"{data['role']}: {data['task']}" if data.get("role") else str(data.get("task", ""))
        if event["event"] == "playbook_on_task_start":
            ran.append(name)
            on_task(name)
        elif event["event"] == "runner_on_ok" and data["res"].get("changed"):
            changed.append(name)
        elif event["event"] in FAILURES and not data.get("ignore_errors"):
            failed.append(f"{name}\n{_message(data['res'])}")
        return True

    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        status, log_text = _run(Path(folder), playbook, host, ssh_config, variables, on_event)
    log.debug("ansible-playbook %s:\n%s", playbook, log_text)
    if status == "canceled":
        raise KeyboardInterrupt
    if status != "successful":
        raise CommandError(f"{playbook} failed in {failed[-1] if failed else _last(log_text)}")
    return Played(len(ran), tuple(changed))


def _run(
    folder: Path,
    playbook: str,
    host: str,
    ssh_config: Path,
    variables: Mapping[str, object],
    on_event: Callable[[dict[str, Any]], bool],
) -> tuple[str, str]:
    """ansible-runner's status and ansible-playbook's own words."""
    python = "/usr/bin/python3"
    arguments = {"ansible_ssh_common_args": f"-F {ssh_config}", "ansible_python_interpreter": python}
    environment = {
        **_SETTINGS,
        "ANSIBLE_ROLES_PATH": str(data_path("roles")),
        "ANSIBLE_SSH_ARGS": "-C",  # connection sharing is in ssh_config
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    result = ansible_runner.run(
        private_data_dir=str(folder),
        playbook=str(data_path("playbooks") / playbook),
        inventory={"all": {"hosts": {host: arguments}}},
        extravars=dict(variables),
        envvars=environment,
        event_handler=on_event,
        quiet=True,
        suppress_env_files=False,
    )
    return str(result.status), result.stdout.read()


def _message(result: Mapping[str, Any]) -> str:
    """What a task said of its failure, of each item that failed if there were several."""
    failed = [item for item in result.get("results", ()) if item.get("failed")] or [result]
    said = []
    for item in failed:
        said.append(str(item.get("msg", "no message")))
        said += str(item.get("stderr") or item.get("stdout") or item.get("module_stderr") or "").splitlines()[-8:]
    return "\n".join(f"  {line}" for line in said)


def _last(text: str) -> str:
    return "its start:\n" + "\n".join(f"  {line}" for line in text.strip().splitlines()[-8:])
