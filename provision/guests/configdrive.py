"""A config drive, as Nova makes one: what a machine learns of itself where there is no metadata service."""

import json
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from provision.process import run

PROGRAMS = {"genisoimage": "genisoimage"}
STUDENT_FILE = "/etc/provision/student.json"


def student_user_data(student: str, password_hash: str, ssh_keys: Sequence[str]) -> str:
    """The user-data that heat/student.yaml sends for a student."""
    content = json.dumps({"student": student, "password_hash": password_hash, "ssh_keys": list(ssh_keys)})
    file = {"path": STUDENT_FILE, "permissions": "0600", "content": content}
    return f"#cloud-config\n{json.dumps({'write_files': [file]})}\n"


def make_config_drive(place: Path, *, name: str, user_data: str | None) -> None:
    """Write the drive of a machine called `name` to the new file `place`, with the program that Nova uses."""
    metadata = {"uuid": str(uuid.uuid4()), "name": name, "hostname": name, "launch_index": 0, "meta": {}}
    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        latest = Path(folder) / "openstack" / "latest"
        latest.mkdir(parents=True)
        (latest / "meta_data.json").write_text(json.dumps(metadata))
        (latest / "network_data.json").write_text("{}")
        if user_data is not None:
            (latest / "user_data").write_text(user_data)
        options: list[str | Path] = ["-quiet", "-volid", "config-2", "-joliet", "-rational-rock", "-o", place, folder]
        run(["genisoimage", *options], deadline=60)
    place.chmod(0o600)
