"""Reads and writes of the chip's memories over the link, streamed: nothing waits until a value is asked for."""

import struct
from collections import deque

import numpy as np

from ...hw.contract.packet import (
    ADDRESS_BITS,
    ALL_CORES,
    MAX_FILL_WORDS,
    MAX_READ_WORDS,
    MAX_WRITE_WORDS,
    SPACE_BITS,
    Opcode,
    Reason,
)
from .host import HostLink
from .transport import LinkError

READ_WORDS = 4096   # of one READ packet; a larger read is several
_STATUS = 2
_TEXT = {
    Reason.OPCODE: "does not know the request {word:#06x}",
    Reason.CUT: "got a packet that its frame cut short after {word:#06x}",
    Reason.SPACE: "has no address asked of space {word}",
}


class BusError(LinkError):
    """The chip refused a packet.

    Attributes
    ----------
    reason : a Reason of hw.contract.packet, or None where an answer never came
    word : what the chip named as the offending word
    """

    def __init__(self, message, *, reason=None, word=0):
        super().__init__(message)
        self.reason = reason
        self.word = word


def _refused(reason, word):
    known = reason in list(Reason)
    text = _TEXT[Reason(reason)].format(word=word) if known else f"gave the unknown reason {reason}"
    return BusError(f"The chip {text}; check that driver and chip were built from one configuration.",
                    reason=Reason(reason) if known else reason, word=word)


def pack_rows(rows: np.ndarray, bits: int) -> bytes:
    """Rows of `bits` bits as little-endian words of 16, the first one lowest, the last word filled with zeros."""
    per_word = 16 // bits
    padded = np.zeros(-(-len(rows) // per_word) * per_word, np.uint16)
    padded[:len(rows)] = rows
    shifts = np.arange(0, 16, bits, dtype=np.uint16)
    return np.bitwise_or.reduce(padded.reshape(-1, per_word) << shifts, axis=1).astype("<u2").tobytes()


class ReadHandle:
    """What a queued read will bring."""

    def __init__(self, bus, count):
        self._bus = bus
        self._words = np.empty(count, dtype="<u2")
        self._missing = count
        self._error = None

    @property
    def done(self) -> bool:
        """Whether `result` would return, or raise, without waiting."""
        return self._missing == 0 or self._error is not None

    def result(self) -> np.ndarray:
        """The words, uint16, shape (count,); waits for them.

        Raises BusError if the chip refused this read or anything queued before it, LinkError if the link is lost.
        """
        while not self.done:
            self._bus._take_answer()
        if self._error is not None:
            raise self._error
        self._bus._raise_refusal()
        return self._words.astype(np.uint16, copy=False)


class Bus:
    """The chip as spaces of 16-bit words, plus runs of its core, all carried out in the order of the calls.

    Every call but `read`, `sync` and `ReadHandle.result` returns once its packets are queued.

    Parameters
    ----------
    link : an open link, of which this object is the only user
    """

    def __init__(self, link: HostLink):
        self.link = link
        self._pending = deque()     # what will be answered: (tag, handle or None, first word, count)
        self._refusals = deque()
        self._tag = 0
        self._answer = bytearray()
        self._selected: int | None = ALL_CORES  # as the chip has it once all is done that was queued

    def select(self, cores: int):
        """What is queued from here on is for the cores of this mask, a bit each, of a chip with a mesh of them.

        Writes and fills go to all of them, reads to the lowest; runs are for all cores always. Costs nothing where
        the mask is the one selected. A bus starts, and starts over, with all cores selected. Raises ValueError for
        no core or more than 32 bits, LinkError.
        """
        if not 0 < cores <= ALL_CORES:
            raise ValueError(f"cores must be a mask of 1 to 32 bits that names a core, not {cores!r}")
        if cores != self._selected:
            self._send(Opcode.SELECT, cores & 0xFFFF, cores >> 16)
            self._selected = cores      # not before: sending may be interrupted while it waits

    def write(self, space: int, address: int, words: np.ndarray):
        """Writes a uint16 array of any shape, in C order, from `address` on.

        Raises TypeError if it is not uint16, ValueError if space or address do not exist on any chip, LinkError if
        the link is lost.
        """
        words = np.asarray(words)
        if words.dtype != np.uint16:
            raise TypeError(f"words must be a uint16 array, not {words.dtype}; view or convert it first")
        self._check(space, address, words.size)
        content = words.astype("<u2", copy=False).tobytes()
        for start in range(0, words.size, MAX_WRITE_WORDS):
            count = min(MAX_WRITE_WORDS, words.size - start)
            self._send(Opcode.WRITE, space, *_address(address + start), count,
                       content=content[2 * start:2 * (start + count)])

    def write_rows(self, space: int, address: int, rows: np.ndarray, *, bits: int):
        """Writes rows of `bits` bits, 1, 2, 4 or 8, a word each, and sends 16 / `bits` of them in a word.

        Parameters
        ----------
        rows : uint16 array of any shape, in C order, each below 2^bits

        Raises as `write`; ValueError also if a row is wider than `bits`, or `bits` is another number.
        """
        rows = np.asarray(rows)
        if rows.dtype != np.uint16:
            raise TypeError(f"rows must be a uint16 array, not {rows.dtype}; view or convert it first")
        if bits not in (1, 2, 4, 8):
            raise ValueError(f"bits of a row must be 1, 2, 4 or 8, not {bits!r}")
        self._check(space, address, rows.size)
        rows, most = rows.reshape(-1), MAX_WRITE_WORDS * (16 // bits)
        if (rows >> bits).any():
            raise ValueError(f"rows must have at most {bits} bits, and one is {int(rows.max()):#x}")
        for start in range(0, rows.size, most):
            part = rows[start:start + most]
            self._send(Opcode.WRITE_ROWS, space, *_address(address + start), len(part), content=pack_rows(part, bits))

    def fill(self, space: int, address: int, *, count: int, value: int):
        """Writes one value to `count` words. Raises ValueError if a number is out of range, else as `write`."""
        self._check(space, address, count)
        if count > MAX_FILL_WORDS:
            raise ValueError(f"count must be at most {MAX_FILL_WORDS}, not {count}")
        if not 0 <= value <= 0xFFFF:
            raise ValueError(f"value must be a word of 16 bits, not {value!r}")
        self._send(Opcode.FILL, space, *_address(address), count & 0xFFFF, count >> 16, value)

    def run(self, mask: int, sample: int):
        """Starts the core, as soon as it can take the run. Raises ValueError, LinkError.

        What is queued behind waits where it must: inputs and results of a sample until no run of its slot is under
        way, everything else until no run is.
        """
        for name, value in (("mask", mask), ("sample", sample)):
            if not 0 <= value <= 0xFFFF:
                raise ValueError(f"{name} must be a word of 16 bits, not {value!r}")
        self._send(Opcode.RUN, mask, sample)

    def queue_read(self, space: int, address: int, count: int) -> ReadHandle:
        """Asks for `count` words and returns at once. Raises ValueError, LinkError."""
        self._check(space, address, count)
        handle = ReadHandle(self, count)
        for start in range(0, count, READ_WORDS):
            part = min(READ_WORDS, count - start, MAX_READ_WORDS)
            tag = self._send(Opcode.READ, space, *_address(address + start), part)
            self._pending.append((tag, handle, start, part))
        return handle

    def read(self, space: int, address: int, count: int) -> np.ndarray:
        """`count` words as a uint16 array, after all that was queued before. Raises ValueError, BusError, LinkError."""
        return self.queue_read(space, address, count).result()

    def sync(self):
        """Waits until the chip has carried out all that was queued.

        Raises BusError for the first packet refused since the last call that could say so, LinkError if the link is
        lost.
        """
        self._pending.append((self._send(Opcode.ECHO, self._tag), None, 0, 0))
        while self._pending:
            self._take_answer()
        self._raise_refusal()

    def reconnect(self):
        """Starts over after a LinkError: what was queued is lost, handles without words never get any.

        The chip's memories keep their words, and a run under way goes on. Raises LinkError if the chip is gone.
        """
        for _, handle, *_ in self._pending:
            if handle is not None:
                handle._error = BusError("The link was started anew before this read was answered; ask again.")
        self._pending.clear()
        self._refusals.clear()
        self._answer.clear()
        self._selected = ALL_CORES
        self.link.reconnect()

    def _send(self, opcode, *words, content=b""):
        tag = self._tag
        self._tag = (tag + 1) & 0xFF
        self.link.send(struct.pack(f"<{len(words) + 1}H", opcode | tag << 8, *words) + content)
        return tag

    def _answer_bytes(self, count):
        """The first `count` bytes of the answer under way; an interrupt while waiting for them loses none."""
        while len(self._answer) < count:
            self._answer += self.link.receive(count - len(self._answer))
        return bytes(self._answer)

    def _take_answer(self):
        head, second = struct.unpack_from("<2H", self._answer_bytes(4))
        opcode, tag = head & 0xFF, head >> 8
        third, content = 0, b""
        if opcode in (Opcode.ERROR, Opcode.READ_DATA):
            third, = struct.unpack_from("<H", self._answer_bytes(6), 4)
        if opcode == Opcode.READ_DATA:
            content = self._answer_bytes(6 + 2 * third + _STATUS)[6:]
        self._answer.clear()
        if opcode == Opcode.ECHO:
            self._match(tag)
        elif opcode == Opcode.ERROR:
            self._refusals.append(_refused(second, third))
            if second != Reason.SPACE:
                self._selected = None   # a packet that was dropped may have been a selection
        elif opcode == Opcode.READ_DATA:
            handle, start, asked = self._match(tag)
            if handle is None or third != asked:
                raise LinkError(f"The chip answered {third} words to a request for {asked}; reconnect.")
            handle._words[start:start + third] = np.frombuffer(content, dtype="<u2", count=third)
            handle._missing -= third
            status = int.from_bytes(content[2 * third:], "little")
            if status:
                handle._error = _refused(status, second)
        else:
            raise LinkError(f"The chip sent a packet of unknown kind {head:#06x}; reconnect.")

    def _match(self, tag):
        while self._pending:
            expected, *entry = self._pending.popleft()
            if expected == tag:
                return entry
            if entry[0] is not None:
                entry[0]._error = BusError("The chip dropped this read with the damaged request before it; ask again.")
        raise LinkError(f"The chip answered a request that was never made (tag {tag}); reconnect.")

    def _raise_refusal(self):
        if self._refusals:
            first = self._refusals.popleft()
            self._refusals.clear()
            raise first

    def _check(self, space, address, count):
        if not 0 <= space < 1 << SPACE_BITS:
            raise ValueError(f"space must be from 0 to {(1 << SPACE_BITS) - 1}, not {space!r}")
        if count < 0:
            raise ValueError(f"count must be at least 0, not {count!r}")
        if address < 0 or address + count > 1 << ADDRESS_BITS:
            raise ValueError(f"address and count must stay within 0 to {(1 << ADDRESS_BITS) - 1}, "
                             f"not {address!r} and {count!r}")


def _address(address):
    return address & 0xFFFF, address >> 16
