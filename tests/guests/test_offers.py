"""What a guest offers is read out of its units, accounts and packages."""

from provision.guests.offers import read_offers
from tests.guests.shelf import Link, Shelf

WANTS = "/etc/systemd/system/multi-user.target.wants"
JUPYTER = b"""[Service]
User=oustudent
Group=users
ExecStartPre=/bin/mkdir -p /vagrant/notebooks
ExecStart=/opt/env/bin/jupyter lab \\
  --notebook-dir=/vagrant/notebooks --port 8888
"""
SHINY = b"[Service]\nUser=shiny\nExecStart=/opt/shiny --bind=0.0.0.0:3838\n"
REFINE = b"[Service]\nExecStart=/opt/OpenRefine/refine -i 0.0.0.0 -p 3334\n"
PLAIN = b"[Service]\nExecStart=/usr/local/bin/tidy\n"
BOX: dict[str, bytes | Link] = {
    "/etc/passwd": b"root:x:0:0::/root:\nvagrant:x:1000:1000::/home/vagrant:\noustudent:x:1001:100::/home/oustudent:\n",
    "/etc/group": b"users:x:100:\nvagrant:x:1000:\n",
    "/home/vagrant/notebooks/a.ipynb": b"{}",
    "/etc/postgresql/15/main/postgresql.conf": b"",
    "/usr/lib/systemd/system/ssh.service": b"[Service]\nExecStart=/usr/sbin/sshd -p 2222\n",
    f"{WANTS}/ssh.service": Link("/usr/lib/systemd/system/ssh.service"),
    "/etc/systemd/system/off.service": SHINY,
}
for name, unit in {"jupyter": JUPYTER, "shiny": SHINY, "refine": REFINE, "tidy": PLAIN}.items():
    BOX |= {f"/etc/systemd/system/{name}.service": unit, f"{WANTS}/{name}.service": Link(f"../{name}.service")}


def test_a_box_with_everything() -> None:
    offers = read_offers(Shelf(BOX))
    assert (offers.user, offers.group, offers.content) == ("oustudent", "users", "/home/vagrant/notebooks")
    assert (offers.jupyter, offers.nbdime, offers.openrefine, offers.postgresql) == (True, False, True, True)
    assert [(each.name, each.user, each.port) for each in offers.applications] == [("shiny", "shiny", 3838)]


def test_nbdime_may_be_in_jupyters_own_environment() -> None:
    assert read_offers(Shelf({**BOX, "/opt/env/lib/python3.11/site-packages/nbdime/__init__.py": b""})).nbdime
    assert not read_offers(Shelf({**BOX, "/opt/other/lib/python3.11/site-packages/nbdime/__init__.py": b""})).nbdime


def test_a_box_with_nothing() -> None:
    offers = read_offers(Shelf({"/etc/passwd": b"root:x:0:0::/root:\nvagrant:x:1000:1000::/home/vagrant:\n"}))
    assert offers == type(offers)("", "", "", False, False, False, False, ())
