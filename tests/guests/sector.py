"""A guest of one boot sector: it copies that sector to the next one, says hello on its console, and rests."""

SECTOR = 512
WORD = b"hello\n"
# ds and es are 0; int 13h writes this sector as the next one; then WORD goes to the first serial port.
CODE = bytes.fromhex("31c0 8ed8 8ec0 fc  b80103 b90200 ba8000 bb007c cd13") + bytes.fromhex(
    "be267c ac 84c0 7406 baf803 ee ebf5 f4 ebfd"
)


def boot_disk() -> bytes:
    """A raw disk of 1 MiB with that guest."""
    boot = (CODE + WORD + b"\0").ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
    return boot + bytes(2**20 - SECTOR)
