"""What really listens, as the kernel says, whatever the configuration does."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gwz_stack import groups

_LISTENING = "0A"


@dataclass(frozen=True)
class Socket:
    """One listening TCP socket of a server."""

    server: str
    address: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        address = ipaddress.ip_address(self.address)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback


def listening(server: str, group: int) -> list[Socket]:
    """Return what the processes of a group listen on, by port."""
    inodes = {inode for pid in groups.members(group) for inode in _inodes(pid)}
    found = [
        Socket(server, address, port)
        for table in ("tcp", "tcp6")
        for address, port, inode in _table(Path(f"/proc/net/{table}"))
        if inode in inodes
    ]
    return sorted(found, key=lambda socket: socket.port)


def _inodes(pid: int) -> list[str]:
    found = []
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(handle.readlink())
                if target.startswith("socket:["):
                    found.append(target[8:-1])
    return found


def _table(path: Path) -> list[tuple[str, int, str]]:
    if not path.exists():
        return []
    rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()[1:]]
    return [(*_address(row[1]), row[9]) for row in rows if row[3] == _LISTENING]


def _address(text: str) -> tuple[str, int]:
    """Return address and port; the kernel prints each 32 bits of an address in the machine's byte order."""
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)
