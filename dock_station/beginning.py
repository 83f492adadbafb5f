"""A sealed clip's beginning, its header and the nonce behind it: who has no key to it puts nothing else after that.

Each chunk is authenticated by a key that follows from both (age's file key, the payload nonce). So a file that begins
as the clip began, and opens, is the clip or a part of it; that needs no look at the rest, which may have gigabytes.
"""

import hashlib
import io
import os

from evidence.age import read_header
from evidence.age.stream import PAYLOAD_NONCE_SIZE


def beginning_sha256(file: io.BufferedReader) -> str:
    """Return the digest (hex) of the beginning of a sealed file, leaving its position there; raises AgeError."""
    file.seek(0)
    size = read_header(file).size + PAYLOAD_NONCE_SIZE
    return hashlib.sha256(os.pread(file.fileno(), size, 0)).hexdigest()
