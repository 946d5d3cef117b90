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

EVENT = data.StructLayout({"session": 1, "asked": 1, "acked": 1, "resend": 1, "answer": 1, "missing": 1, "ack": 8,
                           "nonce": 8 * NONCE_BYTES})
"""What a frame means to the sending half, strobes of one cycle: `session` (a HELLO, with its nonce), `asked` (a HELLO
without one: the answer tells the session that is on), `acked` (`ack` is good), `resend` (the host misses frames from
`ack` on), `answer` (an answer is due), `missing` (that answer says that the chip misses frames)."""

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
            crc.i_clear.eq(end),
        ]

        # came[n]: more than n bytes of the frame came. As far as it matters where a byte stands, shifting says it.
        bare = HEADER_BYTES + CRC_BYTES
        came = Signal(bare + NONCE_BYTES + 1)
        header = Signal(data.ArrayLayout(8, HEADER_BYTES))
        nonce = Signal(8 * NONCE_BYTES)
        # What is payload and what is checksum shows at the flag only, so the last bytes are held back: the checksum,
        # and one more to mark as last.
        held = Signal(8 * (CRC_BYTES + 1))
        with m.If(end):
            m.d.sync += came.eq(0)
        with m.Elif(take):
            m.d.sync += [came.eq(Cat(1, came)), held.eq(Cat(unstuffer.o.data, held))]
        with m.If(take & ~came[HEADER_BYTES - 1]):
            m.d.sync += header.eq(Cat(header, unstuffer.o.data)[8:])
        with m.If(take & came[HEADER_BYTES - 1] & ~came[HEADER_BYTES + NONCE_BYTES - 1]):
            m.d.sync += nonce.eq(Cat(nonce, unstuffer.o.data)[8:])
        control, sequence, acknowledged = header[0], header[1], header[2]

        # Pointers run over twice the ring, so that full and empty differ.
        commit = Signal(range(2 * self.ring))   # end of what was accepted
        drain = Signal.like(commit)             # what is read next
        fill = Signal.like(commit)              # where the byte of the cycle before goes
        beyond = Signal.like(commit)            # behind all that this frame has put there
        size = Signal(range(2 * MAX_PAYLOAD))   # and how much it is
        put = Signal()
        full = Signal()
        overflow = Signal()                     # the frame does not fit the ring
        too_long = Signal()
        m.d.comb += [
            put.eq(unstuffer.o_valid & came[bare]),
            beyond.eq(commit + size),
            full.eq(fill == drain ^ self.ring),
            write.addr.eq(fill),
        ]
        putting = Signal()
        m.d.sync += [
            putting.eq(put),
            fill.eq(beyond),
            write.data.data.eq(held[8 * CRC_BYTES:]),
            write.data.last.eq(end),
        ]
        m.d.comb += write.en.eq(putting & ~full & ~overflow)

        # The verdict on a frame falls in the cycle behind its flag: its header still stands, and the first byte of the
        # next frame that could be payload is far.
        judge = Signal()
        sound = Signal()                        # by checksum, least length and closing flag
        payload = Signal()
        greets = Signal()                       # by its length
        ahead = Signal(8)
        due = Signal()                          # by its number
        expected = Signal(8)
        m.d.sync += [
            judge.eq(end),
            sound.eq(crc.o_match & ~unstuffer.o.cut & came[bare - 1]),
            payload.eq(came[bare]),
            greets.eq(came[bare + NONCE_BYTES - 1] & ~came[bare + NONCE_BYTES]),
            ahead.eq(sequence - expected),
            due.eq(ahead == 0),
        ]

        gap = Signal()                          # a frame is missing and the host has been told
        hello = Signal()
        asks = Signal()
        ordinary = Signal()
        missing = Signal()
        accept = Signal()
        poll = Signal()
        event = self.o_event
        kind = control & KIND_MASK
        m.d.comb += [
            hello.eq(sound & ~too_long & (kind == KIND_HELLO) & greets),
            asks.eq(sound & (kind == KIND_HELLO) & ~payload),
            ordinary.eq(sound & ~too_long & (kind == KIND_DATA)),
            poll.eq(ordinary & ((control & POLL) != 0)),
            accept.eq(ordinary & due & ~(payload & (overflow | full))),
            # Numbers behind are frames sent twice: answered, so that the host moves on, but no sign of a loss.
            missing.eq(~hello & ~asks & ~accept & ~(ordinary & ahead[7])),
            event.nonce.eq(nonce),
            self.o_state.expected.eq(expected),
        ]
        m.d.sync += [
            event.session.eq(judge & hello),
            event.asked.eq(judge & asks),
            event.acked.eq(judge & ordinary),
            event.resend.eq(judge & ordinary & ((control & RESEND) != 0)),
            event.missing.eq(judge & missing & (~gap | poll)),
            event.answer.eq(judge & ((ordinary & payload & ~missing) | poll | (missing & ~gap))),
            event.ack.eq(acknowledged),
            self.o_ok.eq(judge & (hello | asks | ordinary)),
            self.o_bad.eq(judge & ~(hello | asks | ordinary)),
        ]
        with m.If(judge):
            m.d.sync += [size.eq(0), overflow.eq(0), too_long.eq(0), gap.eq(missing | (gap & ~accept & ~hello))]
            with m.If(accept & payload):
                m.d.sync += [expected.eq(expected + 1), commit.eq(beyond)]
        with m.Else():
            m.d.sync += [
                size.eq(size + put),
                overflow.eq(overflow | (putting & full)),
                too_long.eq(too_long | (put & (size == MAX_PAYLOAD))),
            ]

        # The memory's own output register is what o_packet offers.
        more = Signal()
        advance = Signal()
        free = Signal.like(commit)
        m.d.comb += [
            more.eq(drain != commit),
            advance.eq(~self.o_packet.valid | self.o_packet.ready),
            read.addr.eq(drain),
            read.en.eq(advance),
            self.o_packet.payload.eq(read.data),
            free.eq(drain - commit ^ self.ring),
            self.o_busy.eq(Mux(self.o_packet.valid, self.o_packet.ready, more)),
        ]
        m.d.sync += self.o_state.window.eq(free // MAX_PAYLOAD)
        with m.If(advance):
            m.d.sync += [self.o_packet.valid.eq(more), drain.eq(drain + more)]
        with m.If(judge & hello):
            m.d.sync += [expected.eq(0), commit.eq(0), drain.eq(0), self.o_packet.valid.eq(0)]
        return m
