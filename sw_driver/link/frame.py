"""Frames of the host link in Python: to the line and off it."""

import zlib
from typing import NamedTuple

from ...hw.contract.link import CRC_BYTES, ESCAPE, ESCAPE_XOR, FLAG, HEADER_BYTES, MAX_PAYLOAD

_FLAG = bytes([FLAG])
_ESCAPE = bytes([ESCAPE])
_ESCAPED_FLAG = bytes([ESCAPE, FLAG ^ ESCAPE_XOR])
_ESCAPED_ESCAPE = bytes([ESCAPE, ESCAPE ^ ESCAPE_XOR])
LONGEST_ON_LINE = 2 * (HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES)


class Frame(NamedTuple):
    """A frame's fields, as hw.contract.link names them."""

    control: int
    seq: int
    ack: int
    window: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line, flags and checksum included.

    Raises ValueError if the payload is longer than a frame may hold.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"payload must be at most {MAX_PAYLOAD} bytes, not {len(frame.payload)}")
    body = bytes(frame[:4]) + frame.payload
    body += zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    body = body.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_FLAG, _ESCAPED_FLAG)
    return _FLAG + body + _FLAG


def decode(body: bytes) -> Frame | None:
    """The frame in the bytes between two flags, or None if they are not a whole frame."""
    body = body.replace(_ESCAPED_FLAG, _FLAG).replace(_ESCAPED_ESCAPE, _ESCAPE)
    if not HEADER_BYTES + CRC_BYTES <= len(body) <= HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES:
        return None
    content = body[:-CRC_BYTES]
    if zlib.crc32(content).to_bytes(CRC_BYTES, "little") != body[-CRC_BYTES:]:
        return None
    kind, seq, ack, window = content[:HEADER_BYTES]
    return Frame(kind, seq, ack, window, content[HEADER_BYTES:])


class Deframer:
    """Cuts a stream of line bytes into frames; what was damaged is counted in `damaged`."""

    def __init__(self):
        self.damaged = 0
        self._rest = b""

    def restart(self):
        """Forgets the frame under way: what follows is from another end of the line."""
        self._rest = b""

    def push(self, content: bytes) -> list[Frame | None]:
        """The frames that `content` completes, in order; None stands for a damaged one."""
        *bodies, self._rest = (self._rest + content).split(_FLAG)
        if len(self._rest) > LONGEST_ON_LINE:
            # Without a bound a line of noise would fill the memory; what is kept is too long to be a frame.
            self._rest = self._rest[:LONGEST_ON_LINE + 1]
        frames = [decode(body) for body in bodies if body]
        self.damaged += frames.count(None)
        return frames
