"""The lab's passwords, new for each pristine cloud, and the clouds.yaml that a client finds it by."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from provision import paths
from provision.lab import network

CLOUDS = {"lab": ("faculty", "faculty"), "lab-admin": ("admin", "admin"), "lab-second": ("second", "second")}
PASSWORDS = ("admin", "database", "faculty", "heat_domain_admin", "metadata", "rabbit", "second", "service")


def new_secrets() -> dict[str, str]:
    """A fresh password for each account, and Heat's encryption key, which must have 32 characters."""
    return {**{name: secrets.token_urlsafe(24) for name in PASSWORDS}, "heat_encryption": secrets.token_hex(16)}


def read_secrets(path: Path) -> dict[str, str]:
    """What `write_private` kept at `path`."""
    return {str(name): str(value) for name, value in json.loads(path.read_text()).items()}


def clouds_yaml(passwords: Mapping[str, str]) -> str:
    """A clouds.yaml (JSON is YAML) with the clouds of `CLOUDS`: (user, project) by name."""
    return json.dumps({"clouds": {name: _cloud(*who, passwords) for name, who in CLOUDS.items()}}, indent=2) + "\n"


def _cloud(user: str, project: str, passwords: Mapping[str, str]) -> dict[str, object]:
    return {
        "auth": {
            "auth_url": f"http://{network.MACHINE}:5000/v3",
            "username": user,
            "password": passwords[user],
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": "RegionOne",
        "identity_api_version": "3",
    }


def write_clouds_file(passwords: Mapping[str, str]) -> None:
    """Write the lab's own clouds.yaml, readable by the person who called sudo."""
    path = paths.lab_clouds_file()
    paths.write_private(path, clouds_yaml(passwords))
    if "SUDO_UID" in os.environ:
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", "-1")))
