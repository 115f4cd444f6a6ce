"""The demo course's image proves itself: two real machines in QEMU, and Ansible on one's disk."""

from xml.etree import ElementTree

from provision.workflows.builds import Build, sha256_of


def test_the_demo_image_is_proved_from_outside(proved: Build) -> None:
    assert proved.manifest.verified
    assert proved.manifest.verified["passed"] is True
    assert sha256_of(proved.image) == proved.manifest.sha256
    report = ElementTree.parse(proved.folder / "verify.xml")  # noqa: S314 - our own
    (suite,) = report.getroot()
    assert suite.get("failures") == suite.get("errors") == "0"
    assert len(suite) == len(proved.manifest.verified["proofs"]) > 15
