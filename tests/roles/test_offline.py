"""pip on a machine that has no way out."""

from tests.roles.conftest import WHEEL, Applied
from tests.roles.container import booted

PIP = ("/usr/sbin/runuser", "-u", "student", "--", "/opt/jupyter/bin/python", "-m", "pip", "install", "--no-compile")


def test_the_courses_packages_install_with_no_route_out(applied: Applied) -> None:
    with booted(applied.root) as machine:
        assert machine.run("ip", "route") == ""
        said = machine.run(*PIP, "--target", "/tmp/there", WHEEL)
        assert "Successfully installed et-xmlfile-" in said and f" {WHEEL}-" in said
        refused = machine.run("sh", "-c", " ".join(PIP) + " --target /tmp/other tomli-not-there 2>&1")
        assert "No matching distribution found" in refused
