"""The chip's sending half: answers go out in frames, and again for as long as the host has not acknowledged them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.contract.link import (
    CRC_BYTES,
    HEADER_BYTES,
    KIND_DATA,
    KIND_HELLO,
    LINK_VERSION,
    MAX_PAYLOAD,
    NONCE_BYTES,
    RESEND,
    SEND_BYTES,
    SEND_FRAMES,
)
from .crc import Crc32
from .receiver import EVENT, STATE, check_ring
from .stream import BYTE
from .stuffing import Stuffer


class FrameSender(wiring.Component):
    """Sends bytes in order in frames, keeps what is not acknowledged, goes back when the host asks.

    A frame is cut when the line is free: all that ends in `last` and waits, or 256 bytes. So a lone answer leaves at
    once and many share frames. The chip has no timer: it sends only new payload, answers that are due, and room
    that became free.

    A payload of n bytes takes n + 10 cycles and one more for each byte escaped, on a line of a byte per cycle.

    Parameters
    ----------
    ring : bytes kept until acknowledged; a power of two, two maximum frames or more
    frames : frames kept until acknowledged; a power of two from 2 to 64
    window : largest value of `i_state.window`, which sets when free room is worth telling

    Members
    -------
    i_packet : bytes to send; `last` ends an answer
    i_event, i_state : from the receiving half
    o_line : bytes of the line
    o_busy : a frame is on its way out or could be

    Raises
    ------
    TypeError, ValueError
        If a size is not as said.
    """

    i_packet: In(stream.Signature(BYTE))
    i_event: In(EVENT)
    i_state: In(STATE)
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def __init__(self, *, ring=SEND_BYTES, frames=SEND_FRAMES, window=8):
        check_ring("ring", ring)
        if not isinstance(frames, int) or isinstance(frames, bool):
            raise TypeError(f"frames must be a whole number, not {frames!r}")
        if not 2 <= frames <= 64 or frames & (frames - 1):
            raise ValueError(f"frames must be a power of two from 2 to 64, not {frames!r}")
        self.ring = ring
        self.frames = frames
        self.window = window
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.stuffer = stuffer = Stuffer()
        m.submodules.crc = crc = Crc32()
        m.submodules.store = store = memory.Memory(shape=8, depth=self.ring, init=[])
        write, read = store.write_port(), store.read_port()
        wiring.connect(m, stuffer.o, wiring.flipped(self.o_line))

        # Pointers run over twice the ring, so that full and empty differ.
        fill = Signal(range(2 * self.ring))     # where the next byte goes
        ready = Signal.like(fill)               # behind the last byte that came with `last`
        fresh = Signal.like(fill)               # first byte no frame has been cut from
        base = Signal.like(fill)                # first byte not acknowledged
        keep = Signal.like(fill)                # base, but held while a frame goes out, which may lie before it
        turn = Signal.like(fill)                # first byte of the next frame to send
        base_number = Signal(8)                 # frame numbers at base, turn and fresh
        turn_number = Signal(8)
        fresh_number = Signal(8)
        event = self.i_event

        def distance(end, start):
            return (end - start)[:len(end)]

        m.d.comb += [
            write.addr.eq(fill),
            write.data.eq(self.i_packet.p.data),
            write.en.eq(self.i_packet.valid & self.i_packet.ready),
            self.i_packet.ready.eq(distance(fill, keep) != self.ring),
        ]
        with m.If(write.en):
            m.d.sync += fill.eq(fill + 1)

        # Where each unacknowledged frame ends, so that it is cut the same way when sent again.
        m.submodules.ends = ends = memory.Memory(shape=len(fill), depth=self.frames, init=[])
        ends_write = ends.write_port()
        ends_turn, ends_acked = ends.read_port(domain="comb"), ends.read_port(domain="comb")
        m.d.comb += [ends_turn.addr.eq(turn_number), ends_acked.addr.eq(event.ack - 1)]

        start = Signal()        # a payload frame is taken up this cycle
        again = Signal()        # it has been sent before
        waiting = Signal.like(fill)
        length = Signal(range(MAX_PAYLOAD + 1))
        stop = Signal.like(fill)
        can_cut = Signal()
        due = Signal()          # an answer
        m.d.comb += [
            again.eq(turn_number != fresh_number),
            waiting.eq(distance(ready, fresh)),
            length.eq(Mux(distance(fill, fresh) >= MAX_PAYLOAD, MAX_PAYLOAD, waiting)),
            can_cut.eq((length != 0) & (distance(fresh_number, base_number) < self.frames)),
            stop.eq(Mux(again, ends_turn.data, fresh + length)),
            ends_write.addr.eq(fresh_number),
            ends_write.data.eq(stop),
            ends_write.en.eq(start & ~again),
        ]
        passed = Signal(8)
        moved = Signal()
        m.d.comb += [
            passed.eq(event.ack - base_number),
            moved.eq(event.acked & (passed != 0) & (passed <= distance(fresh_number, base_number))),
        ]

        HEAD, NONCE, PAYLOAD, SUM = range(4)
        part = Signal(range(4), init=HEAD)
        index = Signal(2)
        hello = Signal()                    # a HELLO is due
        nonce = Signal(8 * NONCE_BYTES)
        greeting = Signal()                 # the frame under way is a HELLO
        filled = Signal()                   # the frame under way has payload
        resend = Signal()
        head = Signal(8 * HEADER_BYTES)
        at = Signal.like(fill)
        until = Signal.like(fill)
        told = Signal(8, init=self.window)  # window last told to the host
        body = stuffer.i
        step = Signal()
        m.d.comb += [
            step.eq(body.valid & body.ready),
            read.addr.eq(at + (step & (part == PAYLOAD))),
            crc.i_data.eq(body.p.data),
            crc.i_valid.eq(step & (part != SUM)),
        ]
        room = Signal()
        wanted = Signal()
        m.d.comb += [
            room.eq((told < 2) & (self.i_state.window > told) & (self.i_state.window >= self.window // 2)),
            wanted.eq(hello | due | room | again | can_cut),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += keep.eq(base)
                m.d.comb += [crc.i_start.eq(1), self.o_busy.eq(wanted | self.o_line.valid)]
                # An event waits for no one, so a frame waits for the event.
                with m.If(wanted & ~(event.session | event.acked | event.answer)):
                    m.d.comb += start.eq(~hello & (again | can_cut))
                    m.d.sync += [
                        greeting.eq(hello),
                        filled.eq(start),
                        due.eq(0),
                        resend.eq(0),
                        hello.eq(0),
                        part.eq(HEAD),
                        index.eq(0),
                        at.eq(turn),
                        until.eq(stop),
                        told.eq(self.i_state.window),
                        head.eq(Cat(
                            Mux(hello, Const(KIND_HELLO, 8), Mux(resend, Const(KIND_DATA | RESEND, 8), KIND_DATA)),
                            Mux(hello, Const(LINK_VERSION, 8), turn_number),
                            self.i_state.expected,
                            self.i_state.window,
                        )),
                    ]
                    m.next = "BODY"
            with m.State("BODY"):
                with m.Switch(part):
                    with m.Case(HEAD):
                        m.d.comb += body.p.data.eq(head.word_select(index, 8))
                    with m.Case(NONCE):
                        m.d.comb += body.p.data.eq(nonce.word_select(index, 8))
                    with m.Case(PAYLOAD):
                        m.d.comb += body.p.data.eq(read.data)
                    with m.Case(SUM):
                        m.d.comb += [
                            body.p.data.eq(crc.o_crc.word_select(index, 8)),
                            body.p.last.eq(index == CRC_BYTES - 1),
                        ]
                m.d.comb += [body.valid.eq(1), self.o_busy.eq(1)]
                with m.If(step):
                    m.d.sync += index.eq(index + 1)
                    with m.If(part == PAYLOAD):
                        m.d.sync += [at.eq(at + 1), index.eq(0)]
                        with m.If((at + 1)[:len(at)] == until):
                            m.d.sync += part.eq(SUM)
                    with m.Elif(index == 3):
                        with m.Switch(part):
                            with m.Case(HEAD):
                                m.d.sync += part.eq(Mux(greeting, NONCE, Mux(filled, PAYLOAD, SUM)))
                            with m.Case(NONCE):
                                m.d.sync += part.eq(SUM)
                            with m.Case(SUM):
                                m.next = "IDLE"

        with m.If(start):
            m.d.sync += [turn.eq(stop), turn_number.eq(turn_number + 1)]
            with m.If(~again):
                m.d.sync += [fresh.eq(stop), fresh_number.eq(fresh_number + 1)]
                # A frame of 256 bytes may run past the last `last`; were `ready` left behind, it would come to look
                # ahead once `fill` has gone round.
                with m.If(distance(ready, stop)[-1]):
                    m.d.sync += ready.eq(stop)
        with m.If(write.en & self.i_packet.p.last):
            m.d.sync += ready.eq(fill + 1)
        with m.If(moved):
            m.d.sync += [base.eq(ends_acked.data), base_number.eq(event.ack)]
            with m.If(event.resend | (distance(turn_number, base_number) < passed)):
                m.d.sync += [turn.eq(ends_acked.data), turn_number.eq(event.ack)]
        with m.Elif(event.resend):
            m.d.sync += [turn.eq(base), turn_number.eq(base_number)]
        with m.If(event.answer):
            m.d.sync += due.eq(1)
        with m.If(event.missing):
            m.d.sync += resend.eq(1)
        with m.If(event.session):
            # A frame under way goes out to its end, with bytes of no meaning: the host waits for HELLO alone.
            m.d.sync += [pointer.eq(0) for pointer in (fill, ready, fresh, base, keep, turn)]
            m.d.sync += [number.eq(0) for number in (base_number, turn_number, fresh_number)]
            m.d.sync += [hello.eq(1), nonce.eq(event.nonce), due.eq(0), resend.eq(0)]
        return m
