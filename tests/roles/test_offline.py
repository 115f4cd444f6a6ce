"""pip on a machine that has no way out."""

from tests.roles.conftest import WHEEL, Applied
from tests.roles.container import booted

# With nothing of this computer's environment, where pip may have been told of packages.
STUDENT = ("/usr/sbin/runuser", "-u", "student", "--", "/usr/bin/env", "-i", "HOME=/home/student", "/bin/sh", "-c")
INSTALL = "/opt/jupyter/bin/python -m pip install --no-compile --target $(mktemp -d) {package} 2>&1"


def test_the_courses_packages_install_with_no_route_out(applied: Applied) -> None:
    with booted(applied.root) as machine:
        assert machine.run("ip", "route") == ""
        said = machine.run(*STUDENT, INSTALL.format(package=WHEEL))
        assert "Looking in links: /opt/provision/wheels\n" in said
        assert "Successfully installed et-xmlfile-" in said
        refused = machine.run(*STUDENT, INSTALL.format(package="not-in-the-list"))
        assert "No matching distribution found" in refused
        assert "Retrying" not in refused, "an index is waited for"
