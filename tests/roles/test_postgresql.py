"""PostgreSQL on a box that had its own, open to all: the data stays, and the student's machine alone gets at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.guests.playbooks import Played
from tests.roles.container import Container, booted
from tests.roles.inside import seen_inside
from tests.roles.outside import outside
from tests.roles.units import foreign_drop_ins, unhardened
from tests.roles.web.tree import extract, opened

UNIT = "provision-databases"
VARIABLES = {
    "course_user_name": "student",
    "course_user_group": "users",
    "postgresql_user": "student",
    "postgresql_databases": ["shop", "own"],
    "nginx_proxy_databases": True,
}
ROLES = ("course_user", "postgresql", "nginx_proxy")
HEALTH = "import requests; print(requests.get('http://127.0.0.1/healthz').json()['postgresql'])"
# Slower than systemd's own limit, which is five starts within ten seconds, ever sees.
SLOWLY = "[Unit]\nStartLimitBurst=5\n[Service]\nRestartSec=2600ms\n"
BROKEN = "[Service]\nExecStart=\nExecStart=/bin/false\n"
OPEN = "host all all 0.0.0.0/0 trust\n"
# What a box has: a database and tables of others, and the student has no role.
BOX = """
ALTER DATABASE shop OWNER TO postgres;
ALTER DATABASE own OWNER TO postgres;
\\connect own
DROP OWNED BY student;
\\connect shop
DROP OWNED BY student;
DROP ROLE student;
CREATE ROLE clerk;
CREATE SCHEMA "Back Office" AUTHORIZATION clerk;
CREATE TABLE "Back Office".sale (id serial, title text);
ALTER TABLE "Back Office".sale OWNER TO clerk;
INSERT INTO "Back Office".sale (title) VALUES ('kept');
"""


@dataclass(frozen=True)
class Installed:
    """A tree where the role ran on nothing, then on a box's settings, and once more."""

    root: Path
    mended: Played
    again: Played


@pytest.fixture(scope="module")
def installed(plain_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    work = tmp_path_factory.mktemp("postgresql")
    root = work / "root"
    extract(plain_tree, root)
    with opened(root, work / "play") as run:
        run(ROLES, VARIABLES)
        (cluster,) = root.glob("etc/postgresql/*/main")
        (cluster / "conf.d/box.conf").write_text("listen_addresses = '*'\n")
        (cluster / "pg_hba.conf").write_text(OPEN)
        for unit in ("postgresql", "postgresql@", "postgresql@15-main"):
            added = root / f"etc/systemd/system/{unit}.service.d/box.conf"
            added.parent.mkdir()
            added.write_text(BROKEN)
        return Installed(root, run(ROLES, VARIABLES), run(ROLES, VARIABLES))


@pytest.fixture(scope="module")
def machine(installed: Installed) -> Iterator[Container]:
    with booted(installed.root) as container:
        yield container


def sql(machine: Container, user: str, database: str, *queries: str) -> str:
    words = [word for query in queries for word in ("--command", query)]
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
    return machine.run("runuser", "-u", user, "--", "psql", *options, "--dbname", database, *words)


def test_a_second_run_changes_nothing(installed: Installed) -> None:
    assert len(installed.mended.changed) == 2
    assert installed.again.changed == ()


def test_its_unit_is_hardened(installed: Installed) -> None:
    assert unhardened(installed.root) == {}


def test_what_the_box_added_to_its_units_is_gone(installed: Installed) -> None:
    assert foreign_drop_ins(installed.root) == []


def test_it_listens_to_its_own_machine_alone(machine: Container) -> None:
    host = seen_inside(machine)
    assert host.service("postgresql").is_enabled
    assert host.service(UNIT).is_running
    assert host.socket("tcp://127.0.0.1:5432").is_listening
    assert not host.socket("tcp://0.0.0.0:5432").is_listening
    with outside(machine) as neighbour:
        assert neighbour.reached((22, 5432)) == {22}


def test_nobody_gets_in_without_a_password_or_as_somebody_else(machine: Container) -> None:
    host = seen_inside(machine)
    over_tcp = host.run("PGPASSWORD= psql --no-password -h 127.0.0.1 -U student -d own -c 'SELECT 1'")
    assert (over_tcp.rc, "no password supplied" in over_tcp.stderr) == (2, True)
    as_another = host.run("runuser -u student -- psql -U postgres -d own -c 'SELECT 1'")
    assert (as_another.rc, "Peer authentication failed" in as_another.stderr) == (2, True)


def test_the_student_uses_a_missing_database_and_one_of_others(machine: Container) -> None:
    made = ("CREATE TABLE mine (n int)", "INSERT INTO mine VALUES (42)", "SELECT n FROM mine", "DROP TABLE mine")
    assert sql(machine, "student", "own", *made) == "42"
    host = seen_inside(machine)
    host.run_expect([0], "printf %s | runuser -u postgres -- psql --set ON_ERROR_STOP=1 own", BOX.replace("%", "%%"))
    assert "does not exist" in host.run("runuser -u student -- psql shop -c 'SELECT 1'").stderr
    host.run_expect([0], f"systemctl restart {UNIT}")
    added = "INSERT INTO \"Back Office\".sale (title) VALUES ('added')"
    assert sql(machine, "student", "shop", added, 'SELECT title FROM "Back Office".sale').split() == ["kept", "added"]
    sql(machine, "postgres", "shop", "CREATE TABLE later (n int)")
    assert sql(machine, "student", "shop", "SELECT count(*) FROM later") == "0"
    assert sql(machine, "postgres", "shop", "SELECT tableowner FROM pg_tables WHERE tablename = 'sale'") == "clerk"


def test_health_says_whether_it_answers(machine: Container) -> None:
    machine.wait_for(HEALTH, "ready")
    machine.run("systemctl", "stop", "postgresql")
    machine.wait_for(HEALTH, "starting")
    machine.run("systemctl", "start", "postgresql")
    machine.wait_for(HEALTH, "ready")


def test_what_fails_for_good_is_given_up_and_health_says_so(machine: Container, installed: Installed) -> None:
    wanted = installed.root / "usr/local/lib/provision/databases.sql"
    right = wanted.read_text()
    wanted.write_text("SELECT nonsense;\n")
    settings = f"/run/systemd/system/{UNIT}.service.d"
    machine.run("sh", "-c", f"mkdir -p {settings}; printf '{SLOWLY}' >{settings}/test.conf; systemctl daemon-reload")
    machine.run("systemctl", "restart", "--no-block", UNIT)
    machine.wait_for(HEALTH, "starting")
    machine.wait_for(HEALTH, "failed", seconds=40)
    assert machine.run("systemctl", "show", "--value", "--property=NRestarts", UNIT) == "5"
    wanted.write_text(right)
    machine.run("systemctl", "reset-failed", UNIT)
    machine.run("systemctl", "start", UNIT)
    machine.wait_for(HEALTH, "ready")
