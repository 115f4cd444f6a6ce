"""`provision portal`: links are written where nobody else reads them, and nothing is served in clear."""

import csv
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from provision.cli.app import cli
from provision.cli.portal import check_transport
from provision.errors import InvalidInputError, PreflightError
from provision.portal.store import LINKS, hashed, open_store, use_link

URL = "https://launch.example.org"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    (tmp_path / "cohort.toml").write_text('[cohort]\ncourse = "demo"\npresentation = "26J"\n')
    (tmp_path / "roster.csv").write_text("id,name,email\nada,Ada Lovelace,ada@x.org\nalan,Alan Turing,alan@x.org\n")
    return tmp_path


def links(cohort: Path, *options: str) -> list[dict[str, str]]:
    CliRunner().invoke(cli, ["portal", "links", str(cohort), "--url", URL, *options], catch_exceptions=False)
    place = cohort / "handouts" / "demo-26J" / "links.csv"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with place.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_link_each_and_only_its_hash_in_the_database(cohort: Path) -> None:
    rows = links(cohort)
    assert [(row["id"], row["email"]) for row in rows] == [("ada", "ada@x.org"), ("alan", "alan@x.org")]
    tokens = [row["link"].removeprefix(f"{URL}/link/") for row in rows]
    place = cohort / "handouts" / "demo-26J" / "portal.db"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    engine = open_store(f"sqlite:///{place}", "demo-26J")
    with engine.connect() as connection:
        assert set(connection.execute(select(LINKS.c.token)).scalars()) == {hashed(token) for token in tokens}
    (again,) = links(cohort, "--student", "ada")
    assert use_link(engine, tokens[0], 0) is None
    person = use_link(engine, again["link"].removeprefix(f"{URL}/link/"), 0)
    assert person
    assert (person.student, person.role) == ("ada", "student")
    (staff,) = links(cohort, "--staff", "Grace")
    assert (staff["id"], staff["name"]) == ("", "Grace")


@pytest.mark.parametrize(
    "url", ["launch.example.org", "ftp://x.org", "https://", "https://x.org/?a=b", "https://x.org#a"]
)
def test_an_address_that_is_none(cohort: Path, url: str) -> None:
    result = CliRunner().invoke(cli, ["portal", "links", str(cohort), "--url", url])
    assert isinstance(result.exception, InvalidInputError)


def test_a_database_is_one_cohorts(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/portal.db", "demo-26J").dispose()
    with pytest.raises(PreflightError, match="is the portal's of demo-26J"):
        open_store(f"sqlite:///{tmp_path}/portal.db", "demo-27B")
    with pytest.raises(InvalidInputError):
        open_store("nothing", "demo-26J")


CERTIFICATE, KEY = "certificate.pem", "key.pem"


@pytest.mark.parametrize(
    ("address", "certificate", "key", "proxies", "secure"),
    [
        ("127.0.0.1", None, None, None, False),
        ("0.0.0.0", CERTIFICATE, KEY, None, True),  # noqa: S104
        ("0.0.0.0", None, None, "192.0.2.1", True),  # noqa: S104
        ("127.0.0.1", None, None, "127.0.0.1", True),
        ("0.0.0.0", None, None, None, None),  # noqa: S104
        ("192.0.2.1", None, None, None, None),
        ("127.0.0.1", CERTIFICATE, None, None, None),
        ("127.0.0.1", None, KEY, None, None),
    ],
)
def test_nothing_is_served_in_clear(
    address: str, certificate: str | None, key: str | None, proxies: str | None, secure: bool | None
) -> None:
    if secure is None:
        with pytest.raises(InvalidInputError):
            check_transport(address, certificate, key, proxies)
    else:
        assert check_transport(address, certificate, key, proxies) is secure
