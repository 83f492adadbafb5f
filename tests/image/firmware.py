"""What UEFI firmware remembers, read from the flash that QEMU keeps for it."""

import re
from pathlib import Path

# The header of a variable in the store of EDK2: StartId, State, Reserved, Attributes, MonotonicCount, TimeStamp,
# PubKeyIndex, NameSize, DataSize, VendorGuid (AUTHENTICATED_VARIABLE_HEADER in MdeModulePkg's VariableFormat.h).
_HEADER = re.compile(rb"\xaa\x55(.)\x00.{4}.{8}.{16}.{4}.{4}.{4}.{16}", re.DOTALL)
_ADDED = b"\x3f"  # VAR_ADDED: written as a whole, and not deleted since


def is_set(name: str, variables: Path) -> bool:
    """Tell whether a variable is set."""
    wanted = f"{name}\0".encode("utf-16-le")
    content = variables.read_bytes()
    return any(content.startswith(wanted, header.end()) and header[1] == _ADDED for header in _HEADER.finditer(content))
