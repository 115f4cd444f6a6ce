"""The scan of a guest's ports, against a guest on the other end of the wire that speaks ARP and TCP itself."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.errors import CommandError
from provision.guests import wire
from provision.guests.emulator import MAC
from provision.guests.wire import open_ports

GUEST = bytes.fromhex(MAC.replace(":", ""))
QEMU = bytes.fromhex("52550a000202")
ARP, IPV4, SYN, SYN_ACK, RST = b"\x08\x06", b"\x08\x00", 0x02, 0x12, 0x14


def checksum(words: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Guest:
    """Accepts at the ports `accepting`, resets at `refusing`, and says nothing at all others."""

    def __init__(self, accepting: set[int], refusing: set[int]) -> None:
        self.accepting, self.refusing = accepting, refusing
        self.tried: list[int] = []
        self.reset: set[int] = set()

    def answers(self, frame: bytes) -> Iterator[bytes]:
        target, source, kind = frame[:6], frame[6:12], frame[12:14]
        if kind == ARP and frame[20:22] == b"\0\1" and frame[38:42] == bytes([10, 0, 2, 15]):
            body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + GUEST + frame[38:42] + source + frame[28:32]
            yield source + GUEST + ARP + body
        elif kind == IPV4 and target == GUEST:
            yield from self.tcp(frame[14:34], frame[34:], source)

    def tcp(self, ip: bytes, tcp: bytes, source: bytes) -> Iterator[bytes]:
        assert checksum(ip) == 0xFFFF
        assert checksum(ip[12:20] + struct.pack("!BBH", 0, 6, len(tcp)) + tcp) == 0xFFFF
        sender, port = struct.unpack_from("!HH", tcp)
        if tcp[13] == SYN:
            self.tried.append(port)
            flags = SYN_ACK if port in self.accepting else RST if port in self.refusing else 0
            if flags:
                yield segment(GUEST, source, ip, port, sender, flags)
                yield segment(QEMU, source, ip, 5432, sender, SYN_ACK)  # not the guest's word
        elif tcp[13] == 0x04:
            self.reset.add(port)


class SwitchedOff(Guest):
    """Hears, and answers nothing."""

    def answers(self, frame: bytes) -> Iterator[bytes]:
        yield from ()


def segment(sender: bytes, target: bytes, ip: bytes, source_port: int, target_port: int, flags: int) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", source_port, target_port, 1, 2, 5 << 4, flags, 64240, 0, 0)
    return target + sender + IPV4 + ip[:12] + ip[16:20] + ip[12:16] + tcp


@contextmanager
def plugged(folder: Path, guest: Guest) -> Iterator[None]:
    """Answer for the guest in a thread, as QEMU does."""
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                frame = plug.recv(2048)
            except TimeoutError:
                if ended.is_set():
                    return
                continue
            for answer in guest.answers(frame):
                plug.sendto(answer, str(folder / "wire.ours"))

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plug:
        plug.bind(str(folder / "wire"))
        plug.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_only_ports_that_accept_are_open_and_every_port_is_tried(tmp_path: Path) -> None:
    guest = Guest(accepting={1, 22, 80, 65535}, refusing={443, 5432})
    with plugged(tmp_path, guest):
        assert open_ports(tmp_path) == {1, 22, 80, 65535}
    assert guest.tried == list(range(1, 65536))
    assert guest.reset == guest.accepting
    assert not (tmp_path / "wire.ours").exists()


def test_a_guest_that_is_not_there_is_no_guest_without_open_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 0.01)
    with plugged(tmp_path, SwitchedOff(set(), set())), pytest.raises(CommandError, match="does not answer"):
        open_ports(tmp_path)


def test_a_machine_without_a_wire(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be reached"):
        open_ports(tmp_path)
