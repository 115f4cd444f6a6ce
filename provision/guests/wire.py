"""A plug in an emulated guest's own network: every one of its TCP ports is tried, as a neighbour of it could.

What QEMU forwards from the host it accepts by itself, whether the guest would or not. Here the guest itself answers:
frames of Ethernet with TCP's SYN (RFC 9293) go in, and its SYN-ACKs come out. It needs no root.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from provision.errors import CommandError
from provision.guests.emulator import ADDRESS, MAC
from provision.guests.qmp import short_name

ALL_PORTS = range(1, 65536)
BATCH = 128  # SYNs between two looks at what came back; fewer than a virtio ring holds
ANSWER_SECONDS = 1.0
TRIES = 30

_OURS, _GUEST = bytes.fromhex("525400123499"), bytes.fromhex(MAC.replace(":", ""))
_BROADCAST = b"\xff" * 6
_GUEST_ADDRESS = IPv4Address(ADDRESS).packed
_OUR_ADDRESSES = [IPv4Address(f"10.0.2.{number}").packed for number in range(100, 200)]
_IPV4, _ARP = b"\x08\x00", b"\x08\x06"
_SYN, _RST, _SYN_ACK = 0x02, 0x04, 0x12
_SOURCE_PORT = 40000


def open_ports(folder: Path) -> set[int]:
    """The TCP ports of the machine in `folder` (which is wired) that accept a connection from its network."""
    found: set[int] = set()
    with _plug(folder) as plug:
        for number, start in enumerate(range(ALL_PORTS.start, ALL_PORTS.stop, BATCH)):
            for port in range(start, min(start + BATCH, ALL_PORTS.stop)):
                plug.send(_segment(port, _SYN))
            found |= _answers(plug, _OUR_ADDRESSES[1 + number % 99])
    return found


@contextmanager
def _plug(folder: Path) -> Iterator[socket.socket]:
    ours = folder / "wire.ours"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plug:
        try:
            with short_name(ours) as name:
                plug.bind(name)
            with short_name(folder / "wire") as name:
                plug.connect(name)
            yield plug
        except OSError as exc:
            raise CommandError(f"The guest's network cannot be reached: {exc}") from exc
        finally:
            ours.unlink(missing_ok=True)


def _answers(plug: socket.socket, asker: bytes) -> set[int]:
    """The ports whose SYN-ACK came back before the guest answered one more question, who has its own address.

    It takes frames in their order, so it has seen all that was sent before. Each question is of another asker.
    """
    found: set[int] = set()
    for _ in range(TRIES):
        plug.send(_question(asker))
        end = time.monotonic() + ANSWER_SECONDS
        while (left := end - time.monotonic()) > 0:
            plug.settimeout(left)
            try:
                frame = plug.recv(2048)
            except TimeoutError:
                break
            if frame[6:12] != _GUEST:
                continue  # QEMU's own answers
            if frame[12:14] == _ARP and frame[38:42] == asker:
                return found
            if port := _accepted(frame):
                found.add(port)
                plug.send(_segment(port, _RST))
            elif frame[12:14] == _ARP and frame[38:42] in _OUR_ADDRESSES:
                plug.send(_reply(frame))
    raise CommandError(f"The guest does not answer in its own network, at {ADDRESS}.")


def _accepted(frame: bytes) -> int:
    """The port whose SYN-ACK this frame is, else 0."""
    header = (frame[14] & 0x0F) * 4 if len(frame) >= 54 else 0
    is_tcp = frame[12:14] == _IPV4 and frame[23:24] == b"\x06" and frame[26:30] == _GUEST_ADDRESS
    if not header or not is_tcp or len(frame) < 14 + header + 14:
        return 0
    source, target = (int(port) for port in struct.unpack_from("!HH", frame, 14 + header))
    return source if target == _SOURCE_PORT and frame[14 + header + 13] & 0x17 == _SYN_ACK else 0


def _question(asker: bytes) -> bytes:
    """RFC 826: who has the guest's address?"""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + _OURS + asker + bytes(6) + _GUEST_ADDRESS
    return _BROADCAST + _OURS + _ARP + body


def _reply(question: bytes) -> bytes:
    """Our address, for the guest that asks for it."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + _OURS + question[38:42] + question[22:32]
    return question[6:12] + _OURS + _ARP + body


def _segment(port: int, flags: int) -> bytes:
    """A TCP segment without data for a port of the guest."""
    ends = _OUR_ADDRESSES[0] + _GUEST_ADDRESS
    tcp = struct.pack("!HHIIBBHHH", _SOURCE_PORT, port, 1, 0, 5 << 4, flags, 64240, 0, 0)
    total = _sum(ends + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", total) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + ends
    ip = ip[:10] + struct.pack("!H", _sum(ip)) + ip[12:]
    return _GUEST + _OURS + _IPV4 + ip + tcp


def _sum(words: bytes) -> int:
    """RFC 1071's checksum."""
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
