"""Both other sides, on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal.issuer import Issuer, local_issuer
from tests.portal.loopback import Twist
from tests.portal.platform import ROLE, Platform, local_platform
from tests.portal.signin.visits import OWN, SECRET, URL


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Issuer, Platform]]:
    with local_issuer() as issuer, local_platform() as platform:
        yield issuer, platform


@pytest.fixture
def issuer(servers: tuple[Issuer, Platform]) -> Issuer:
    issuer = servers[0]
    issuer.twist, issuer.asked, issuer.codes = Twist(), [], {}
    issuer.user = {"sub": "u-1", "name": "Ada Lovelace", "email": "ada@uni.test", "email_verified": True}
    return issuer


@pytest.fixture
def platform(servers: tuple[Issuer, Platform]) -> Platform:
    platform = servers[1]
    platform.twist, platform.asked, platform.pages, platform.next_at = Twist(), [], [], ""
    platform.user = {"sub": "u-1", "name": "Ada Lovelace", "email": "ada@uni.test"}
    platform.roles, platform.target, platform.message = [ROLE + "Learner"], f"{URL}/machine", "LtiResourceLinkRequest"
    return platform


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "lti.pem"
    file.write_text(OWN)
    return file


@pytest.fixture(scope="session")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "oidc.secret"
    file.write_text(f"{SECRET}\n")
    return file
