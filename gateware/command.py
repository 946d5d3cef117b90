"""The command processor: packets of the link become reads, writes and runs of the core."""

from contextlib import contextmanager

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..hw.contract.packet import ADDRESS_BITS, ALL_CORES, CORE_BITS, SPACE_BITS, Opcode, Reason
from .answers import AnswerQueue
from .link.stream import BYTE, WORD, WordGather, WordScatter

BUS_REQUEST = data.StructLayout({"space": SPACE_BITS, "address": ADDRESS_BITS, "write_data": 16, "write": 1, "read": 1})
"""What the bus asks: `write` or `read`, never both, stays up with the rest unchanged until a cycle with `ready`; only
a new session of the link may withdraw it."""

BUS_REPLY = data.StructLayout({"ready": 1, "read_data": 16, "read_valid": 1, "error": 1})
"""What the core side replies.

`ready` takes the request of this cycle (it may depend on it). Each read taken is answered by one `read_valid`, in
order, any cycle after the one that took it; several may be under way. `error`, the address does not exist, is looked
at with `ready` for a write and with `read_valid` for a read.
"""

RUN = data.StructLayout({"mask": 16, "sample": 16})
"""What a run is told: which parts of the core, and a number for them."""

REQUESTS = (Opcode.WRITE, Opcode.READ, Opcode.FILL, Opcode.RUN, Opcode.ECHO, Opcode.SELECT)
ROW_BITS = (1, 2, 4, 8, 16)     # narrower than 16: WRITE_ROWS is known


class CommandProcessor(wiring.Component):
    """Carries out packets, one after the other, and answers them. It never stops at a packet it cannot understand.

        i_packet ─ WordGather ─ here ─ o_bus, o_run
        o_packet ─ WordScatter ─ AnswerQueue ─ i_bus

    A header takes two cycles a word, as the bytes come, and one more. Then WRITE moves a word every two cycles, FILL
    one every cycle, READ one every two cycles, WRITE_ROWS a row every cycle and one cycle more for each word, if the
    core side is always ready and answers within `2 * answer_words - 8` cycles.

    Parameters
    ----------
    answer_words : int
        Room for answers; also the most reads under way, so it covers the latency of a memory at full rate. A power of
        two of at least 2.
    row_bits : int
        Bits of a row of WRITE_ROWS: 1, 2, 4 or 8. With 16 there is no such request, for WRITE does the same.

    Raises
    ------
    ValueError
        If a parameter is none of these; the message names it.

    Members
    -------
    i_packet, o_packet : bytes from and to the link
    i_session : strobe, forget the packet under way and its answers; reads under way are waited for, and runs go on
    o_bus, i_bus : the core's memories, see BUS_REQUEST and BUS_REPLY
    o_run : starts the core; what comes behind a run does not wait for its end, unless the bus makes it
    i_busy : the core runs; up from the cycle after the transfer on `o_run` to the end of all runs. An ECHO waits for it
    o_select : the cores that requests on `o_bus` are for, a bit each. Changes only while no request and no read is
        under way; all ones at power-up, and again before the first packet of a new session
    o_busy : a packet, a run or an answer is under way, and waits for no room in the link
    o_dropped : frames dropped in whole or from some packet on, since power-up
    """

    i_packet: In(stream.Signature(BYTE))
    o_packet: Out(stream.Signature(BYTE))
    i_session: In(1)
    o_bus: Out(BUS_REQUEST)
    i_bus: In(BUS_REPLY)
    o_run: Out(stream.Signature(RUN))
    i_busy: In(1)
    o_select: Out(CORE_BITS, init=ALL_CORES)
    o_busy: Out(1)
    o_dropped: Out(16)

    def __init__(self, *, answer_words: int = 8, row_bits: int = 16):
        if row_bits not in ROW_BITS:
            raise ValueError(f"row bits must be one of {', '.join(map(str, ROW_BITS))}, not {row_bits!r}")
        self._row_bits = row_bits
        self._answers = AnswerQueue(words=answer_words)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.gather = gather = WordGather()
        m.submodules.scatter = scatter = WordScatter()
        m.submodules.answers = answers = self._answers
        wiring.connect(m, wiring.flipped(self.i_packet), gather.i)
        wiring.connect(m, answers.o, scatter.i)
        wiring.connect(m, scatter.o, wiring.flipped(self.o_packet))

        # The session of the packet under way is over. Until its reads have come and its answers are gone, every state
        # that waits for a word finds the frame cut short instead.
        void = Signal()
        word = gather.o.p
        valid = Signal()
        cut = Signal()
        last = Signal()
        m.d.comb += [
            gather.i_clear.eq(self.i_session),
            scatter.i_clear.eq(self.i_session),
            answers.i_drop.eq(void),
            valid.eq(gather.o.valid | void),
            cut.eq(word.cut | void),
            last.eq(word.last | void),
        ]

        # All that is kept of a header: its other words are these, too.
        head = Signal(16)
        second = Signal(16)                 # space, mask, an ECHO's word, low cores; of an ERROR its third word
        address = Signal(ADDRESS_BITS)      # its low half is the sample of a RUN
        left = Signal(33)                   # words still to ask for, less one; the top bit says that there are none
        reason = Signal(Reason)             # of an ERROR; 0 is none
        refused = Signal()
        index = Signal(range(3))            # of the answer's words
        known = Signal()
        bus, reply = self.o_bus, self.i_bus
        none = left[-1]

        def asks(opcode):
            """Whether the packet is one of `opcode`, once `known` has been seen."""
            return head[:3] == opcode

        packed = self._row_bits < 16
        with m.Switch(head[:8]):
            for request in (*REQUESTS, *([Opcode.WRITE_ROWS] if packed else [])):
                with m.Case(request):
                    m.d.comb += known.eq(1)

        consume = Signal()      # the word is done with
        issue = Signal()        # the bus takes a request
        less = Signal()
        m.d.comb += [
            gather.o.ready.eq(consume & ~void),
            bus.space.eq(second),
            bus.address.eq(address),
            bus.write_data.eq(word.data),
            issue.eq((bus.write | bus.read) & reply.ready),
        ]
        done = Const(1)         # the request that the bus takes now is the last of its word
        if packed:
            turn = Signal(range(16 // self._row_bits))
            done = ~asks(Opcode.WRITE_ROWS) | turn.all() | (left[:16] == 0)
            with m.If(asks(Opcode.WRITE_ROWS)):
                m.d.comb += bus.write_data.eq(word.data.word_select(turn, self._row_bits))
            with m.If(issue):
                m.d.sync += turn.eq(Mux(done, 0, turn + 1))
        with m.If(issue):
            m.d.sync += address.eq(address + 1)
        with m.If(issue | less):
            m.d.sync += left.eq(left - 1)
        with m.If((bus.write & reply.ready & reply.error) | (reply.read_valid & reply.error)):
            m.d.sync += refused.eq(1)

        own = Signal()          # this word is no reply of the bus; it goes if there is room
        answer = Signal(WORD)
        m.d.comb += [
            answers.i_word.eq(answer),
            answers.i_claim.eq((own & answers.o_room) | (bus.read & reply.ready)),
            answers.i_put.eq((own & answers.o_room) | reply.read_valid),
        ]

        def fault(why):
            # The word at fault is not consumed: FAULT looks at it.
            m.d.sync += reason.eq(why)
            m.next = "FAULT"

        @contextmanager
        def header(keep, *, may_end):
            # What stands inside happens with the word; a frame that ends here is cut unless it may.
            m.d.sync += keep.eq(word.data)
            with m.If(valid & (cut | (last & ~may_end))):
                fault(Reason.CUT)
            with m.Elif(valid):
                m.d.comb += consume.eq(1)
                yield

        def finish():
            m.next = "HEAD"
            with m.If(refused):
                m.d.sync += reason.eq(Reason.SPACE)
                m.next = "ANSWER"

        with m.FSM() as fsm:
            with m.State("HEAD"):
                m.d.sync += [head.eq(word.data), left[16:].eq(0), reason.eq(0), refused.eq(0), index.eq(0)]
                if packed:
                    m.d.sync += turn.eq(0)      # a frame cut short leaves it where it was
                with m.If(gather.o.valid & ~void):
                    m.next = "KNOWN"

            with m.State("KNOWN"):
                with m.If(~known):
                    fault(Reason.OPCODE)
                with m.Elif(last):
                    fault(Reason.CUT)
                with m.Else():
                    m.d.comb += consume.eq(1)
                    m.next = "SECOND"

            with m.State("SECOND"), header(second, may_end=asks(Opcode.ECHO)):
                m.next = "LOW"
                with m.If(asks(Opcode.ECHO)):
                    m.next = "SETTLE"

            with m.State("LOW"), header(address[:16], may_end=asks(Opcode.RUN) | asks(Opcode.SELECT)):
                m.next = "HIGH"
                with m.If(asks(Opcode.RUN)):
                    m.next = "RUN"
                with m.If(asks(Opcode.SELECT)):
                    m.d.sync += self.o_select.eq(Cat(second, word.data))
                    m.next = "HEAD"

            with m.State("HIGH"), header(address[16:], may_end=Const(0)):
                m.next = "COUNT"

            with m.State("COUNT"), header(left[:16], may_end=~asks(Opcode.FILL)):
                with m.Switch(head[:3]):
                    with m.Case(Opcode.READ):
                        m.next = "ANSWER"
                    with m.Case(Opcode.FILL):
                        m.next = "COUNT HIGH"
                    with m.Default():
                        # Where it ends the frame, whether that is right shows once `none` is known.
                        m.d.comb += consume.eq(~last)
                        m.next = "LESS"

            with m.State("COUNT HIGH"), header(left[16:32], may_end=Const(0)):
                m.next = "LESS"

            with m.State("LESS"):
                m.d.comb += less.eq(1)
                m.next = "DATA"
                with m.If(asks(Opcode.READ)):
                    m.next = "READ"
                # Words come two cycles apart, so one that is here is a count that ended its frame.
                with m.Elif(valid):
                    m.next = "LAST"

            # A FILL takes the word it writes only behind the last time, in LAST.
            with m.State("DATA"):
                m.d.comb += bus.write.eq(valid & ~cut & ~none)
                with m.If(none & ~asks(Opcode.FILL)):
                    finish()
                with m.Elif(valid & cut):
                    fault(Reason.CUT)
                with m.Elif(none & valid):
                    m.next = "LAST"
                with m.Elif(issue & done & ~asks(Opcode.FILL)):
                    m.d.comb += consume.eq(~last)
                    with m.If(last):
                        m.next = "LAST"

            with m.State("LAST"):
                with m.If(none):
                    m.d.comb += consume.eq(1)
                    finish()
                with m.Else():
                    fault(Reason.CUT)

            with m.State("RUN"):
                m.d.comb += [self.o_run.valid.eq(1), self.o_run.p.mask.eq(second), self.o_run.p.sample.eq(address)]
                with m.If(self.o_run.ready):
                    m.next = "HEAD"

            with m.State("SETTLE"):
                with m.If(~self.i_busy | void):
                    m.next = "ANSWER"

            with m.State("ANSWER"):
                m.d.comb += own.eq(1)
                failed = reason != 0
                with m.Switch(index):
                    with m.Case(0):
                        kind = Mux(failed, Opcode.ERROR, Mux(asks(Opcode.ECHO), Opcode.ECHO, Opcode.READ_DATA))
                        m.d.comb += answer.data.eq(Cat(kind[:8], head[8:]))
                    with m.Case(1):
                        m.d.comb += [
                            answer.data.eq(Mux(failed, reason, second)),
                            answer.last.eq(~failed & asks(Opcode.ECHO)),
                        ]
                    with m.Default():
                        m.d.comb += [answer.data.eq(Mux(failed, second, left[:16])), answer.last.eq(failed)]
                with m.If(answers.o_room):
                    m.d.sync += index.eq(index + 1)
                    with m.If(answer.last):
                        m.next = "HEAD"
                    with m.Elif(index == 2):
                        m.next = "LESS"

            with m.State("READ"):
                m.d.comb += [
                    bus.read.eq(~none & ~void & answers.o_room),
                    answer.data.eq(reply.read_data),
                ]
                with m.If((none | void) & ~answers.o_owed):
                    m.next = "STATUS"

            with m.State("STATUS"):
                m.d.comb += [own.eq(1), answer.data.eq(Mux(refused, Reason.SPACE, 0)), answer.last.eq(1)]
                with m.If(answers.o_room):
                    m.next = "HEAD"

            with m.State("FAULT"):
                m.d.comb += consume.eq(1)
                m.d.sync += second.eq(word.data)
                with m.If(~void):
                    m.d.sync += self.o_dropped.eq(self.o_dropped + 1)
                m.next = "DROP"
                with m.If(last):
                    m.next = "ANSWER"

            with m.State("DROP"):
                m.d.comb += consume.eq(1)
                with m.If(valid & last):
                    m.next = "ANSWER"

        blocked = Signal()      # an answer waits for the link, which only the host can help
        asleep = Signal()       # and so does the packet
        m.d.comb += [
            blocked.eq(self.o_packet.valid & ~self.o_packet.ready),
            asleep.eq(blocked & ~answers.o_owed
                      & (fsm.ongoing("ANSWER") | fsm.ongoing("READ") | fsm.ongoing("STATUS"))),
            self.o_busy.eq(~asleep & (~fsm.ongoing("HEAD") | gather.o.valid | void | (answers.o.valid & ~blocked))),
        ]

        with m.If(self.i_session):
            m.d.sync += void.eq(1)
        with m.Elif(fsm.ongoing("HEAD") & answers.o_empty):
            m.d.sync += void.eq(0)
            # Not before: replies to reads of the session before come from the cores that they were asked of.
            with m.If(void):
                m.d.sync += self.o_select.eq(ALL_CORES)
        return m
