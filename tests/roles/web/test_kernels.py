"""Which kernels are ended: those that nobody uses, and never one that works."""

from pathlib import Path

from provision.guests.jupyter import Jupyter
from tests.roles.container import Container
from tests.roles.web.conftest import URL
from tests.roles.web.test_python import restart
from tests.roles.web.tree import PASSWORD

# As the role sets it, but in seconds.
SOON = "c.MappingKernelManager.cull_idle_timeout = 4\nc.MappingKernelManager.cull_interval = 1\n"
LONG = "import time; time.sleep(20); print('done')"


def test_an_idle_kernel_is_ended_and_a_busy_one_is_not(machine: Container, web_root: Path) -> None:
    settings = web_root / "etc/jupyter/jupyter_server_config.py"
    before = settings.read_text()
    assert "cull_idle_timeout = 3600" in before
    settings.write_text(before + SOON)
    try:
        restart(machine, "jupyter")
        browser = Jupyter(URL)
        assert browser.sign_in(PASSWORD)
        token = {"X-XSRFToken": str(browser.http.cookies.get("_xsrf"))}
        idle = browser.request("POST", "api/kernels", json={}, headers=token).json()["id"]
        assert browser.run(LONG, deadline=60) == "done\n"
        assert idle not in {kernel["id"] for kernel in browser.request("GET", "api/kernels").json()}
    finally:
        settings.write_text(before)
        restart(machine, "jupyter")
