"""What a test looks at of a sealed clip that may be cut anywhere."""

import contextlib
import io

import av

from appliance.spool import SpooledClip
from evidence.age import CHUNK_SIZE, AgeError, SealedFile, read_header
from evidence.age.errors import ChunkCorruptedError
from tests.recording import Unit


def opened(unit: Unit, clip: SpooledClip) -> bytes:
    """Return the MP4 of a clip as far as its key opens it."""
    with clip.sealed_file.open("rb") as file:
        try:
            header = read_header(file)
            sealed = SealedFile(file, header, header.unwrap([unit.identity]))
        except AgeError:
            return b""
        plain = b""
        with contextlib.suppress(ChunkCorruptedError):  # the medium may have the clip's end and not an earlier chunk
            while piece := sealed.read_at(len(plain), CHUNK_SIZE):
                plain += piece
        return plain


def played_seconds(mp4: bytes) -> float:
    """Play what is left of a clip, and return the end of its last whole picture."""
    try:
        with av.open(io.BytesIO(mp4), mode="r") as container:
            whole = [packet for packet in container.demux(video=0) if not packet.is_corrupt]
    except av.FFmpegError:
        return 0.0
    ends = [
        float((packet.pts + packet.duration) * packet.time_base)
        for packet in whole
        if packet.pts is not None and packet.duration is not None and packet.time_base is not None
    ]
    return max(ends, default=0.0)
