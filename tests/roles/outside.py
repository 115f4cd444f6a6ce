"""Another machine on a container's network: a namespace with one cable to it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.roles.container import Container

HERE, THERE, METADATA = "192.0.2.1", "192.0.2.2", "169.254.169.254"
HERE_6, THERE_6 = "2001:db8::1", "2001:db8::2"
CONNECT = """
import socket
def answer(port):
    try:
        socket.create_connection(({address!r}, port), 1).close()
    except OSError:
        return False
    return True
print(*[port for port in {ports!r} if answer(port)])
"""
LISTEN = """
import socket, time
held = [socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True) for port in {ports!r}]
print("ready", flush=True)
time.sleep(300)
"""


@dataclass(frozen=True)
class Outside:
    """The other machine; `namespace` is its name."""

    namespace: str

    @property
    def way(self) -> tuple[str, ...]:
        """What a command line starts with that is to run there."""
        return ("ip", "netns", "exec", self.namespace)

    def reached(self, ports: tuple[int, ...], at: str = THERE) -> set[int]:
        """Which of the container's ports accept a connection from here."""
        code = CONNECT.format(address=at, ports=ports)
        words = [*self.way, sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        return set(map(int, done.stdout.split()))


@contextmanager
def outside(machine: Container) -> Iterator[Outside]:
    """Lay the cable; the other end has the metadata service's address, too."""
    name = f"roles-{os.getpid()}"
    inside = ("nsenter", "--target", str(machine.leader), "--net")
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "-n", name, "link", "add", "out0", "type", "veth", "peer", "name", "host0")
        _run("ip", "-n", name, "link", "set", "host0", "netns", str(machine.leader))
        for address in (f"{HERE}/24", f"{METADATA}/32"):
            _run("ip", "-n", name, "address", "add", address, "dev", "out0")
        _run("ip", "-n", name, "address", "add", f"{HERE_6}/64", "dev", "out0", "nodad")
        _run("ip", "-n", name, "link", "set", "out0", "up")
        _run(*inside, "ip", "address", "add", f"{THERE}/24", "dev", "host0")
        _run(*inside, "ip", "address", "add", f"{THERE_6}/64", "dev", "host0", "nodad")
        _run(*inside, "ip", "link", "set", "host0", "up")
        _run(*inside, "ip", "route", "add", METADATA, "dev", "host0")
        yield Outside(name)
    finally:
        _run("ip", "netns", "delete", name)


@contextmanager
def listening(way: tuple[str, ...], ports: tuple[int, ...]) -> Iterator[None]:
    """Something that accepts connections on all addresses, on the network that the command `way` leads to."""
    command = [*way, sys.executable, "-c", LISTEN.format(ports=ports)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.wait(30)
        if server.stdout:
            server.stdout.close()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=30)
