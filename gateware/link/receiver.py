"""The chip's receiving half: frames off the line are checked, put in order and handed on as payload."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.contract.link import (
    CRC_BYTES,
    HEADER_BYTES,
    KIND_DATA,
    KIND_HELLO,
    KIND_MASK,
    MAX_PAYLOAD,
    NONCE_BYTES,
    POLL,
    RECEIVE_BYTES,
    RESEND,
)
from .crc import Crc32
from .stream import BYTE
from .stuffing import Unstuffer

EVENT = data.StructLayout({"session": 1, "acked": 1, "resend": 1, "answer": 1, "missing": 1, "ack": 8,
                           "nonce": 8 * NONCE_BYTES})
"""What a frame means to the sending half, strobes of one cycle: `session` (a HELLO, with its nonce), `acked` (`ack` is
good), `resend` (the host misses frames from `ack` on), `answer` (an answer is due), `missing` (that answer says that
the chip misses frames)."""

STATE = data.StructLayout({"expected": 8, "window": 8})
"""What the sending half reports: the next sequence number, and how many maximum frames there is room for."""


def check_ring(name, size):
    """Refuses a ring that cannot hold two maximum frames or whose pointers would not wrap by themselves."""
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError(f"{name} must be a whole number of bytes, not {size!r}")
    if size < 2 * MAX_PAYLOAD or size & (size - 1):
        raise ValueError(f"{name} must be a power of two of at least {2 * MAX_PAYLOAD} bytes, not {size!r}")


class FrameReceiver(wiring.Component):
    """Accepts the frames that are whole and next in order; drops all others without a trace but in the counters.

    Payload goes to a ring as it comes and counts only once its frame's checksum has been seen to be right. The line
    is never held back, a byte per cycle; accepted payload is offered from 4 cycles after the closing flag on. A
    frame that does not fit the ring is dropped like a damaged one.

    Parameters
    ----------
    ring : bytes of payload that wait for `o_packet`; a power of two, two maximum frames or more

    Members
    -------
    i_line : bytes of the line, always taken
    o_packet : payload in order; `last` ends a frame
    o_event, o_state : for the sending half
    o_ok, o_bad : strobes: a frame came whole, a frame came damaged
    o_busy : accepted payload moves on; low where nobody takes it

    Raises
    ------
    TypeError, ValueError
        If `ring` is not such a size.
    """

    i_line: In(stream.Signature(8))
    o_packet: Out(stream.Signature(BYTE))
    o_event: Out(EVENT)
    o_state: Out(STATE)
    o_ok: Out(1)
    o_bad: Out(1)
    o_busy: Out(1)

    def __init__(self, *, ring=RECEIVE_BYTES):
        check_ring("ring", ring)
        self.ring = ring
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.unstuffer = unstuffer = Unstuffer()
        m.submodules.crc = crc = Crc32()
        m.submodules.store = store = memory.Memory(shape=BYTE, depth=self.ring, init=[])
        write, read = store.write_port(), store.read_port()
        wiring.connect(m, wiring.flipped(self.i_line), unstuffer.i)

        take = Signal()     # a body byte
        end = Signal()      # a frame's closing flag
        m.d.comb += [
            take.eq(unstuffer.o_valid & ~unstuffer.o.end),
            end.eq(unstuffer.o_valid & unstuffer.o.end),
            crc.i_data.eq(unstuffer.o.data),
            crc.i_valid.eq(take),
            crc.i_start.eq(end),
        ]

        longest = HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES
        count = Signal(range(longest + 2))
        header = Signal(data.ArrayLayout(8, HEADER_BYTES))
        nonce = Signal(data.ArrayLayout(8, NONCE_BYTES))
        # What is payload and what is checksum shows at the flag only, so the last bytes are held back: the checksum,
        # and one more to mark as last.
        held = Signal(8 * (CRC_BYTES + 1))
        with m.If(end):
            m.d.sync += count.eq(0)
        with m.Elif(take):
            m.d.sync += [held.eq(Cat(unstuffer.o.data, held)), count.eq(Mux(count > longest, count, count + 1))]
            with m.If(count < HEADER_BYTES):
                m.d.sync += header[count[:2]].eq(unstuffer.o.data)
            with m.If((count >= HEADER_BYTES) & (count < HEADER_BYTES + NONCE_BYTES)):
                m.d.sync += nonce[(count - HEADER_BYTES)[:2]].eq(unstuffer.o.data)
        control, sequence, acknowledged = header[0], header[1], header[2]

        # Pointers run over twice the ring, so that full and empty differ.
        fill = Signal(range(2 * self.ring))     # where the next byte goes
        commit = Signal.like(fill)              # end of what was accepted
        drain = Signal.like(fill)               # what o_packet offers
        overflow = Signal()
        full = Signal()
        put = Signal()
        payload = Signal()                      # the frame holds payload, known at its end
        m.d.comb += [
            full.eq((fill - drain)[:len(fill)] == self.ring),
            payload.eq(count > HEADER_BYTES + CRC_BYTES),
            put.eq(Mux(end, payload, take & (count > HEADER_BYTES + CRC_BYTES))),
            write.addr.eq(fill),
            write.data.data.eq(held[8 * CRC_BYTES:]),
            write.data.last.eq(end),
            write.en.eq(put & ~full),
        ]
        with m.If(put):
            with m.If(full):
                m.d.sync += overflow.eq(1)
            with m.Else():
                m.d.sync += fill.eq(fill + 1)

        expected = Signal(8)
        gap = Signal()                          # a frame is missing and the host has been told
        whole = Signal()
        hello = Signal()
        ordinary = Signal()
        missing = Signal()
        accept = Signal()
        poll = Signal()
        ahead = Signal(8)
        event = self.o_event
        m.d.comb += [
            whole.eq(crc.o_match & ~unstuffer.o.cut & (count >= HEADER_BYTES + CRC_BYTES) & (count <= longest)),
            hello.eq(whole & ((control & KIND_MASK) == KIND_HELLO) & (count == HEADER_BYTES + NONCE_BYTES + CRC_BYTES)),
            ordinary.eq(whole & ((control & KIND_MASK) == KIND_DATA)),
            poll.eq(ordinary & ((control & POLL) != 0)),
            ahead.eq(sequence - expected),
            accept.eq(ordinary & (ahead == 0) & ~(payload & (overflow | full))),
            # Numbers behind are frames sent twice: answered, so that the host moves on, but no sign of a loss.
            missing.eq(~hello & ~accept & ~(ordinary & ahead[7])),
            self.o_state.expected.eq(expected),
        ]
        m.d.sync += [
            event.session.eq(end & hello),
            event.acked.eq(end & ordinary),
            event.resend.eq(end & ordinary & ((control & RESEND) != 0)),
            event.missing.eq(end & missing & (~gap | poll)),
            event.answer.eq(end & ((ordinary & payload & ~missing) | poll | (missing & ~gap))),
            event.ack.eq(acknowledged),
            event.nonce.eq(nonce),
            self.o_ok.eq(end & (hello | ordinary)),
            self.o_bad.eq(end & ~(hello | ordinary)),
        ]
        with m.If(end):
            m.d.sync += [overflow.eq(0), fill.eq(commit), gap.eq(missing | (gap & ~accept & ~hello))]
            with m.If(accept & payload):
                m.d.sync += [expected.eq(expected + 1), fill.eq(fill + 1), commit.eq(fill + 1)]
            with m.If(hello):
                m.d.sync += [expected.eq(0), fill.eq(0), commit.eq(0), drain.eq(0)]

        taken = Signal.like(drain)
        m.d.comb += [
            taken.eq(drain + (self.o_packet.valid & self.o_packet.ready)),
            read.addr.eq(taken),
            self.o_packet.payload.eq(read.data),
            self.o_state.window.eq((self.ring - (commit - drain)[:len(drain)])[:len(drain)] // MAX_PAYLOAD),
            self.o_busy.eq((commit != drain) & (self.o_packet.ready | ~self.o_packet.valid)),
        ]
        with m.If(end & hello):
            m.d.sync += self.o_packet.valid.eq(0)
        with m.Else():
            m.d.sync += [drain.eq(taken), self.o_packet.valid.eq(taken != commit)]
        return m
