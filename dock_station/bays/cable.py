"""From an address in the bays to the bay: which USB port the card is plugged into that somebody called from."""

from ipaddress import IPv6Address
from pathlib import Path

BRIDGE = Path("/sys/class/net/mirrorcam0")  # systemd/network/dock
ENTRY = 16  # bytes, `struct __fdb_entry` of linux/if_bridge.h: MAC, port, is_local, age, the port's high byte
MOST = 4096 * ENTRY  # more than any dock has; a hostile card can fill the table


def bay_of(address: str, bridge: Path = BRIDGE) -> str | None:
    """Return the USB port, None where it cannot be told; who is on the cable can lie, so nothing may be decided by it.

    Units make their addresses of their MACs (RFC 4291 appendix A), the bridge knows behind which card each MAC is.
    """
    try:
        mac = _mac_of(IPv6Address(address.partition("%")[0]))
        port = _port_of(mac, bridge) if mac else None
        cards = [card for card in (bridge / "brif").iterdir() if int((card / "port_no").read_text(), 16) == port]
        # The card is of a USB interface ("1-1.3:1.0"), and that of the device, which is named like its port.
        return (bridge.parent / cards[0].name / "device").resolve(strict=True).parent.name if cards else None
    except (OSError, ValueError):
        return None


def _mac_of(address: IPv6Address) -> bytes | None:
    part = address.packed[8:]
    return bytes([part[0] ^ 2]) + part[1:3] + part[5:] if part[3:5] == b"\xff\xfe" else None


def _port_of(mac: bytes, bridge: Path) -> int | None:
    with (bridge / "brforward").open("rb", buffering=0) as file:
        table = file.read(MOST)
    for start in range(0, len(table), ENTRY):
        entry = table[start : start + ENTRY]
        if entry[:6] == mac and not entry[7]:
            return entry[6] | entry[12] << 8
    return None
