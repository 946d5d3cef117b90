"""The command processor: packets of the link become reads, writes and runs of the core."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..hw.contract.packet import ADDRESS_BITS, HEADER_WORDS, SPACE_BITS, Opcode, Reason
from .link.stream import BYTE, WordGather, WordScatter

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

ANSWER_WORDS = 8    # room for answers; also the most reads under way, so it covers the latency of a memory at full rate


class CommandProcessor(wiring.Component):
    """Carries out packets, one after the other, and answers them. It never stops at a packet it cannot understand.

        i_packet ─ WordGather ─ here ─ o_bus, o_run
        o_packet ─ WordScatter ─ FIFO ─ i_bus

    A header takes two cycles a word, as the bytes come. Then WRITE moves a word every two cycles, FILL one every
    cycle, READ one every two cycles, if the core side is always ready.

    Members
    -------
    i_packet, o_packet : bytes from and to the link
    i_session : strobe, forget the packet under way and its answers; a run or read under way is waited for
    o_bus, i_bus : the core's memories, see BUS_REQUEST and BUS_REPLY
    o_run : starts the core
    i_busy : the core runs; up from the cycle after the transfer on `o_run` to the end of the run
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
    o_busy: Out(1)
    o_dropped: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.submodules.gather = gather = WordGather()
        m.submodules.scatter = scatter = WordScatter()
        answers = fifo.SyncFIFO(width=17, depth=ANSWER_WORDS)
        m.submodules.answers = ResetInserter(self.i_session)(answers)
        wiring.connect(m, wiring.flipped(self.i_packet), gather.i)
        wiring.connect(m, scatter.o, wiring.flipped(self.o_packet))
        m.d.comb += [
            gather.i_clear.eq(self.i_session),
            scatter.i_clear.eq(self.i_session),
            scatter.i.payload.eq(answers.r_data),
            scatter.i.valid.eq(answers.r_rdy),
            answers.r_en.eq(scatter.i.ready),
        ]
        word = gather.o
        bus, reply = self.o_bus, self.i_bus

        longest = max(HEADER_WORDS[opcode] for opcode in (Opcode.WRITE, Opcode.READ, Opcode.FILL))
        fields = Signal(data.ArrayLayout(16, longest))      # the header as it comes
        index = Signal(range(longest))
        address = Signal(ADDRESS_BITS)
        left = Signal(32)       # words still to ask for
        owed = Signal(16)       # words of a READ still to be answered
        under_way = Signal(range(ANSWER_WORDS + 1))     # reads taken and not answered
        refused = Signal()
        reason = Signal(Reason)
        culprit = Signal(16)
        void = Signal()         # the session of this packet is over
        echo = fields[0][:8] == Opcode.ECHO
        head = Signal(16)
        opcode = Signal(8)
        m.d.comb += [head.eq(Mux(index == 0, word.p.data, fields[0])), opcode.eq(head[:8])]

        answer = Signal(16)
        answer_last = Signal()
        answer_en = Signal()
        answer_ok = Signal()
        m.d.comb += [
            answers.w_data.eq(Cat(answer, answer_last)),
            answers.w_en.eq(answer_en & ~void),
            answer_ok.eq(answers.w_rdy | void),
        ]

        size = Signal(range(longest + 1))
        with m.Switch(opcode):
            for request in (Opcode.WRITE, Opcode.READ, Opcode.FILL, Opcode.RUN, Opcode.ECHO):
                with m.Case(request):
                    m.d.comb += size.eq(HEADER_WORDS[request])

        def fail(why, offending):
            m.d.sync += [reason.eq(why), culprit.eq(offending), index.eq(0)]

        def drop(why):
            fail(why, word.p.data)
            m.d.sync += self.o_dropped.eq(self.o_dropped + 1)
            m.next = "ERROR"
            with m.If(~word.p.last):
                m.next = "DROP"

        def finish():
            m.d.sync += [index.eq(0), refused.eq(0)]
            m.next = "HEADER"
            with m.If(refused):
                fail(Reason.SPACE, fields[1])
                m.next = "ERROR"

        issue = Signal()        # the bus takes a request
        m.d.comb += [
            bus.space.eq(fields[1]),
            bus.address.eq(address),
            issue.eq((bus.write | bus.read) & reply.ready),
        ]
        with m.If(issue):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
            with m.If(bus.write & reply.error):
                m.d.sync += refused.eq(1)
        taken = issue & bus.read
        m.d.sync += under_way.eq(under_way + taken - reply.read_valid)

        busy = Signal()
        blocked = Signal()      # an answer waits for the link
        m.d.comb += [
            busy.eq(1),
            blocked.eq(self.o_packet.valid & ~self.o_packet.ready),
            self.o_busy.eq(busy | word.valid | (answers.r_rdy & ~blocked)),
        ]
        with m.FSM() as fsm:
            with m.State("HEADER"):
                m.d.comb += [busy.eq(index != 0), word.ready.eq(~void & ~self.i_session)]
                with m.If(void | self.i_session):
                    m.d.sync += [index.eq(0), refused.eq(0)]
                with m.Elif(word.valid):
                    m.d.sync += [fields[index].eq(word.p.data), index.eq(index + 1)]
                    with m.If((index == 0) & (size == 0)):
                        drop(Reason.OPCODE)
                    with m.Elif(word.p.cut | (word.p.last & (index + 1 != size))):
                        drop(Reason.CUT)
                    with m.Elif(index + 1 == size):
                        m.d.sync += [index.eq(0), address.eq(Cat(fields[2], fields[3]))]
                        with m.Switch(opcode):
                            with m.Case(Opcode.WRITE):
                                m.d.sync += left.eq(word.p.data)
                                m.next = "WRITE"
                                with m.If(word.p.data == 0):
                                    m.next = "HEADER"
                                with m.Elif(word.p.last):
                                    drop(Reason.CUT)
                            with m.Case(Opcode.READ):
                                m.d.sync += [left.eq(word.p.data), owed.eq(word.p.data)]
                                m.next = "ANSWER"
                            with m.Case(Opcode.FILL):
                                m.d.sync += left.eq(Cat(fields[4], fields[5]))
                                m.next = "FILL"
                            with m.Case(Opcode.RUN):
                                m.next = "RUN"
                            with m.Case(Opcode.ECHO):
                                m.next = "ANSWER"

            with m.State("WRITE"):
                m.d.comb += [
                    bus.write_data.eq(word.p.data),
                    bus.write.eq(word.valid & ~word.p.cut & ~void),
                    word.ready.eq(reply.ready & ~void),
                ]
                with m.If(void):
                    m.next = "HEADER"
                with m.Elif(word.valid & word.p.cut):
                    m.d.comb += word.ready.eq(1)
                    m.d.sync += refused.eq(0)
                    drop(Reason.CUT)
                with m.Elif(issue):
                    with m.If(left == 1):
                        m.next = "WRITTEN"
                    with m.Elif(word.p.last):
                        m.d.sync += refused.eq(0)
                        drop(Reason.CUT)

            with m.State("FILL"):
                m.d.comb += [bus.write_data.eq(fields[6]), bus.write.eq((left != 0) & ~void)]
                with m.If((left == 0) | void):
                    m.next = "WRITTEN"

            with m.State("WRITTEN"):
                finish()

            with m.State("ANSWER"):
                m.d.comb += answer_en.eq(1)
                with m.Switch(index):
                    with m.Case(0):
                        kind = Mux(echo, Const(Opcode.ECHO, 8), Const(Opcode.READ_DATA, 8))
                        m.d.comb += answer.eq(Cat(kind, fields[0][8:]))
                    with m.Case(1):
                        m.d.comb += [answer.eq(fields[1]), answer_last.eq(echo)]
                    with m.Default():
                        m.d.comb += answer.eq(fields[4])
                with m.If(answer_ok):
                    m.d.sync += index.eq(index + 1)
                    with m.If((index == 1) & echo):
                        m.next = "WRITTEN"
                    with m.Elif(index == 2):
                        m.next = "READ"

            with m.State("READ"):
                # A read is asked for only when its answer has room, whatever else the FIFO holds by then.
                m.d.comb += [
                    bus.read.eq((left != 0) & ~void & (answers.w_level + under_way < ANSWER_WORDS)),
                    answer.eq(reply.read_data),
                    answer_en.eq(reply.read_valid),
                ]
                with m.If(reply.read_valid):
                    m.d.sync += owed.eq(owed - 1)
                    with m.If(reply.error):
                        m.d.sync += refused.eq(1)
                with m.If((owed == 0) | (void & (under_way == 0))):
                    m.next = "STATUS"

            with m.State("STATUS"):
                m.d.comb += [answer.eq(Mux(refused, Reason.SPACE, 0)), answer_last.eq(1), answer_en.eq(1)]
                with m.If(answer_ok):
                    m.d.sync += [index.eq(0), refused.eq(0)]
                    m.next = "HEADER"

            with m.State("RUN"):
                m.d.comb += [self.o_run.valid.eq(1), self.o_run.p.mask.eq(fields[1]), self.o_run.p.sample.eq(fields[2])]
                with m.If(self.o_run.ready):
                    m.next = "RUNNING"

            with m.State("RUNNING"):
                with m.If(~self.i_busy):
                    m.next = "HEADER"

            with m.State("DROP"):
                m.d.comb += word.ready.eq(~void)
                with m.If(void | (word.valid & word.p.last)):
                    m.next = "ERROR"

            with m.State("ERROR"):
                m.d.comb += [answer_en.eq(1), answer_last.eq(index == 2)]
                with m.Switch(index):
                    with m.Case(0):
                        m.d.comb += answer.eq(Cat(Const(Opcode.ERROR, 8), fields[0][8:]))
                    with m.Case(1):
                        m.d.comb += answer.eq(reason)
                    with m.Default():
                        m.d.comb += answer.eq(culprit)
                with m.If(answer_ok):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == 2):
                        m.d.sync += index.eq(0)
                        m.next = "HEADER"

        # An answer that only the host can make room for is no reason to let time go on.
        with m.If(blocked & ~void & (under_way == 0)):
            with m.If(fsm.ongoing("ANSWER") | fsm.ongoing("READ") | fsm.ongoing("STATUS") | fsm.ongoing("ERROR")):
                m.d.comb += self.o_busy.eq(0)

        with m.If(self.i_session):
            m.d.sync += void.eq(1)
        with m.Elif(fsm.ongoing("HEADER")):
            m.d.sync += void.eq(0)
        return m
