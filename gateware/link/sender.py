"""The chip's sending half: answers go out in frames, and again for as long as the host has not acknowledged them."""

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.contract.link import (
    CRC_BYTES,
    FRESH,
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

    A frame is cut when the line is about to be free: all that waits, if some of it ends in `last`, or 256 bytes. So a
    lone answer leaves at once and many share frames. The chip has no timer: it sends only new payload, answers that are
    due, and room that became free.

    A payload of n bytes takes n + 10 cycles and one more for each byte escaped, on a line of a byte per cycle; the next
    frame follows at once. On an idle line the first flag comes 8 cycles behind the event that asks for an answer. What
    the host acknowledges or asks for counts between frames.

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
        event = self.i_event

        # Pointers run over twice the ring, so that full and empty differ.
        fill = Signal(range(2 * self.ring))     # where the next byte goes
        fresh = Signal.like(fill)               # first byte no frame has been cut from
        base = Signal.like(fill)                # first byte not acknowledged
        base_number = Signal(8)                 # frame numbers at base and fresh, and of the next frame to send
        fresh_number = Signal(8)
        turn_number = Signal(8)
        closed = Signal()                       # a byte that ends an answer may be uncut
        m.d.comb += [
            write.addr.eq(fill),
            write.data.eq(self.i_packet.p.data),
            write.en.eq(self.i_packet.valid & self.i_packet.ready),
            self.i_packet.ready.eq(fill != base ^ self.ring),
        ]
        with m.If(write.en):
            m.d.sync += fill.eq(fill + 1)

        # Where each unacknowledged frame starts, so that it is cut the same way when sent again.
        m.submodules.starts = starts = memory.Memory(shape=len(fill), depth=self.frames, init=[])
        starts_write, starts_read = starts.write_port(), starts.read_port(domain="comb")
        number = Signal(range(2 * self.frames))
        place = Signal.like(fill)               # where frame `number` starts
        m.d.comb += [
            starts_write.addr.eq(fresh_number),
            starts_write.data.eq(fresh),
            starts_read.addr.eq(number),
            place.eq(Mux(number == fresh_number[:len(number)], fresh, starts_read.data)),
        ]

        waiting = Signal.like(fill)
        unacked = Signal(8)                     # frames sent behind the acknowledgement under way
        outstanding = Signal(8)
        seen = Signal(8)
        room = Signal()
        told = Signal(8, init=self.window)      # window last told to the host
        again = Signal()
        plenty = Signal()
        can_cut = Signal()
        # These hang a cycle behind: what they look at rests for longer before it counts.
        m.d.sync += [
            waiting.eq(fill - fresh),
            unacked.eq(fresh_number - seen),
            outstanding.eq(fresh_number - base_number),
            room.eq((told < 2) & (self.i_state.window > told) & (self.i_state.window >= self.window // 2)),
        ]
        m.d.comb += [
            again.eq(turn_number[:len(number)] != fresh_number[:len(number)]),
            plenty.eq(waiting >= MAX_PAYLOAD),
            can_cut.eq((plenty | (closed & (waiting != 0))) & ~outstanding[len(number) - 1]),
        ]

        # What the receiving half said and no frame has taken up yet.
        hello = Signal()
        fresh_chip = Signal(init=1)  # no session since power-up
        nonce = Signal(8 * NONCE_BYTES)
        due = Signal()          # an answer
        missing = Signal()      # which asks for what is missing
        acked = Signal()
        ack = Signal(8)
        asked = Signal()        # the host misses something

        # The frame under way.
        at = Signal.like(fill)
        until = Signal.like(fill)
        filled = Signal()       # it has payload
        greeting = Signal()     # it is a HELLO
        resend = Signal()       # it asks for what is missing
        sequence = Signal(8)
        back = Signal()
        free = Signal()         # all of it that is not checksum has been read
        prepared = Signal()
        emitted = Signal()      # the frame prepared goes out

        def unless_new_session(state):
            # What is looked at below may hang a cycle behind the reset.
            with m.If(~event.session):
                m.next = state

        m.d.comb += number.eq(turn_number)
        with m.FSM(name="prepare") as prepare:
            with m.State("IDLE"):
                m.d.sync += [seen.eq(ack), back.eq(asked)]
                with m.If(free):
                    with m.If(acked):
                        m.d.sync += [acked.eq(0), asked.eq(0)]
                        unless_new_session("RANGE")
                    with m.Elif(hello | again):
                        unless_new_session("START")
                    with m.Elif(can_cut):
                        unless_new_session("CUT")
                    with m.Elif(due | room):
                        unless_new_session("START")
            with m.State("RANGE"):
                m.next = "IDLE"
                unless_new_session("ACKNOWLEDGE")
            with m.State("ACKNOWLEDGE"):
                m.d.comb += number.eq(seen)
                with m.If(unacked <= outstanding):
                    m.d.sync += [base.eq(place), base_number.eq(seen)]
                m.next = "IDLE"
                unless_new_session("TURN BACK")
            with m.State("TURN BACK"):
                # Or forward, where the host has more than had been sent again.
                with m.If(back | (turn_number - base_number)[7]):
                    m.d.sync += turn_number.eq(base_number)
                m.next = "IDLE"
            with m.State("CUT"):
                m.d.comb += starts_write.en.eq(1)
                m.d.sync += [
                    fresh.eq(Mux(plenty, fresh + MAX_PAYLOAD, fill)),
                    fresh_number.eq(fresh_number + 1),
                    closed.eq(closed & plenty),
                ]
                m.next = "IDLE"
                unless_new_session("START")
            with m.State("START"):
                m.d.sync += [
                    at.eq(place),
                    sequence.eq(turn_number),
                    greeting.eq(hello),
                    filled.eq(~hello & again),
                    resend.eq(missing),
                    told.eq(self.i_state.window),
                    hello.eq(0),
                    due.eq(0),
                    missing.eq(0),
                ]
                with m.If(~hello & again):
                    m.d.sync += turn_number.eq(turn_number + 1)
                m.next = "IDLE"
                unless_new_session("END")
            with m.State("END"):
                m.d.sync += until.eq(place)
                m.next = "IDLE"
                unless_new_session("READY")
            with m.State("READY"):
                m.d.comb += prepared.eq(1)
                with m.If(emitted):
                    m.next = "IDLE"

        # A frame's bytes go through registers that all move at once: what the byte is, what it is if it is not from the
        # ring, the byte, and the one that the stuffer holds.
        move = Signal()
        index = Signal(2)
        following = Signal.like(at)
        other = Signal(8)
        from_ring = Signal()
        body = Signal(8)
        stages = [Signal(data.StructLayout({"valid": 1, "sum": 1, "last": 1}), name=f"stage_{n}") for n in range(3)]
        m.d.comb += [
            move.eq(stuffer.i.ready),
            following.eq(at + 1),
            read.addr.eq(at),
            read.en.eq(move),
        ]
        with m.FSM(name="emit") as emit:
            with m.State("REST"):
                m.d.comb += [free.eq(1), emitted.eq(prepared & move)]
                m.d.sync += index.eq(0)
                with m.If(emitted):
                    m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += stages[0].valid.eq(1)
                with m.If(move):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == HEADER_BYTES - 1):
                        m.next = "SUM"
                        with m.If(greeting):
                            m.next = "NONCE"
                        with m.Elif(filled):
                            m.next = "PAYLOAD"
            with m.State("NONCE"):
                m.d.comb += stages[0].valid.eq(1)
                with m.If(move):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == NONCE_BYTES - 1):
                        m.next = "SUM"
            with m.State("PAYLOAD"):
                m.d.comb += stages[0].valid.eq(1)
                with m.If(move):
                    m.d.sync += at.eq(following)
                    with m.If(following == until):
                        m.next = "SUM"
            with m.State("SUM"):
                m.d.comb += [
                    free.eq(1),
                    stages[0].valid.eq(1),
                    stages[0].sum.eq(1),
                    stages[0].last.eq(index == CRC_BYTES - 1),
                ]
                with m.If(move):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == CRC_BYTES - 1):
                        m.next = "REST"

        with m.If(move):
            m.d.sync += [
                stages[1].eq(stages[0]),
                stages[2].eq(stages[1]),
                from_ring.eq(emit.ongoing("PAYLOAD")),
                body.eq(Mux(from_ring, read.data, other)),
                other.eq(Mux(emit.ongoing("NONCE"), nonce.word_select(index, 8), Array((
                    Mux(greeting, Const(KIND_HELLO, 8), Mux(resend, Const(KIND_DATA | RESEND, 8), KIND_DATA))
                    | Mux(fresh_chip, FRESH, 0),
                    Mux(greeting, LINK_VERSION, sequence),
                    self.i_state.expected,
                    told,
                ))[index])),
            ]
        final = stages[2]
        m.d.comb += [
            crc.i_data.eq(body),
            # Between two frames there is a stage without a byte.
            crc.i_clear.eq(~final.valid),
            crc.i_valid.eq(move),
            crc.i_shift.eq(final.sum),
            stuffer.i.valid.eq(final.valid),
            stuffer.i.p.data.eq(Mux(final.sum, crc.o_crc[:8], body)),
            stuffer.i.p.last.eq(final.last),
        ]
        m.d.comb += self.o_busy.eq(
            ~prepare.ongoing("IDLE") | ~emit.ongoing("REST") | acked | hello | again | can_cut | due | room
            | stages[1].valid | stages[2].valid | self.o_line.valid)

        # Events wait for no one, so what they set stays set if a frame takes the same up this cycle.
        with m.If(write.en & self.i_packet.p.last):
            m.d.sync += closed.eq(1)
        with m.If(event.asked):
            m.d.sync += hello.eq(1)
        with m.If(event.acked):
            m.d.sync += [acked.eq(1), ack.eq(event.ack)]
        with m.If(event.resend):
            m.d.sync += asked.eq(1)
        with m.If(event.answer):
            m.d.sync += due.eq(1)
        with m.If(event.missing):
            m.d.sync += missing.eq(1)
        with m.If(event.session):
            # A frame under way goes out to its end, with bytes of no meaning: the host waits for HELLO alone.
            m.d.sync += [
                fill.eq(0), fresh.eq(0), base.eq(0), fresh_number.eq(0), base_number.eq(0), turn_number.eq(0),
                closed.eq(0), due.eq(0), missing.eq(0), acked.eq(0), asked.eq(0), hello.eq(1), nonce.eq(event.nonce),
                fresh_chip.eq(0),
            ]
        return m
