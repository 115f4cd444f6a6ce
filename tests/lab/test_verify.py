"""The demo course's image proves itself: two real machines in QEMU, and Ansible on one's disk."""

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from provision.workflows.builds import newest_build, sha256_of
from tests.lab.conftest import PROVISION


def test_the_demo_image_is_proved_from_outside(tmp_path: Path) -> None:
    subprocess.run([PROVISION, "image", "build", "demo", "--progress", "plain"], check=True, timeout=1800)
    junit = tmp_path / "verify.xml"
    words: list[str | Path] = ["demo", "--junit", junit, "--keep", tmp_path, "--format", "json", "--progress", "plain"]
    done = subprocess.run(
        [PROVISION, "image", "verify", *words], stdout=subprocess.PIPE, text=True, check=False, timeout=1800
    )
    report = json.loads(done.stdout)
    failed = {f"{proof['group']}: {proof['name']}": proof["failure"] for proof in report["proofs"] if proof["failure"]}
    assert failed == {}, (tmp_path / "student.log").read_text()[-2000:]
    assert done.returncode == 0
    build = newest_build("demo")
    assert build.manifest.verified
    assert build.manifest.verified["passed"] is True
    assert sha256_of(build.image) == build.manifest.sha256
    (suite,) = ElementTree.parse(junit).getroot()  # noqa: S314 - our own
    assert suite.get("failures") == suite.get("errors") == "0"
    assert len(suite) == len(report["proofs"]) > 15
