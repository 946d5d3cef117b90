"""Rows on their way out of a core: queued by engine, sent as packets of the mesh."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.rows import ADDRESS_BITS, FLIT_BITS, LAYER_BITS, STEP_BITS, Kind, packet_flits
from ..noc.buffer import TAPS, successor
from .table import Widths

LENGTH_BITS = 4     # of a header: flits of the packet less one

RowFlit = data.StructLayout({"data": FLIT_BITS, "last": 1})


def row_layout(config: ChipConfig, kind: Kind) -> data.StructLayout:
    """A row with its way: the cores that it goes to, their layer and step that wait for it, its address there.

    Each field is as wide as this chip's memories and counters need; nobody waits for a row of weights.
    """
    widths = Widths(config)
    counted = kind != Kind.WEIGHTS
    bits = config.lanes if kind == Kind.SPIKES else 16 * config.lanes
    address = {Kind.SPIKES: widths.spike, Kind.ERRORS: widths.remote, Kind.WEIGHTS: widths.synapse}[kind]
    return data.StructLayout({
        "targets": config.nodes, "layer": min(LAYER_BITS, widths.layer) if counted else 0,
        "step": min(STEP_BITS, ceil_log2(config.step_slots)) if counted else 0, "address": address, "row": bits})


class RowQueue(wiring.Component):
    """Rows of one kind in block RAM: where they go, and beside that the row, from which flits are read one by one.

    Their order in there is nobody's business, so places follow each other as in a shift register.

    Parameters
    ----------
    room : rows that are written at most beyond those whose packets have begun; a power of two

    Members
    -------
    i : strobe and row
    i_go : all below takes a step
    i_next : the oldest row is left
    i_slot : of a row's flits the next to be read, see `slot_of`
    o_push : a row is written
    o_some : there was a row a step ago
    o_head : all of the oldest row, if it has one flit at most, else all but the row itself; two steps old
    o_flit : the one that was asked for, in the step after
    """

    def __init__(self, config: ChipConfig, kind: Kind, *, room: int):
        self._layout, self._bits = row_layout(config, kind), ceil_log2(room) + 1
        width = self._layout["row"].width
        self._flits = packet_flits(width) - 2 if kind != Kind.SPIKES else 0
        self._head = data.StructLayout({
            name: field.width for name, field in self._layout if not (self._flits and name == "row")})
        self.length = packet_flits(width)
        super().__init__({
            "i": In(data.StructLayout({"valid": 1, "p": self._layout})), "i_go": In(1), "i_next": In(1),
            "i_slot": In(ceil_log2(self._flits or 1)), "o_push": Out(1), "o_some": Out(1), "o_head": Out(self._head),
            "o_flit": Out(FLIT_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        depth, row = 1 << self._bits, self.i.p
        after = successor if self._bits in TAPS else (lambda place: (place + 1)[:self._bits])
        write, read, some, push = Signal(self._bits), Signal(self._bits), Signal(), self.o_push
        m.d.comb += [push.eq(self.i.valid & row.targets.any()), some.eq(write != read)]
        with m.If(push):
            m.d.sync += write.eq(after(write))
        with m.If(self.i_go & self.i_next):
            m.d.sync += read.eq(after(read))
        m.submodules.heads = heads = Memory(shape=unsigned(self._head.size), depth=depth, init=[],
                                            attrs={"ram_style": "block"})
        writer, reader = heads.write_port(), heads.read_port()
        m.d.comb += [
            writer.addr.eq(write), writer.en.eq(push), reader.addr.eq(read), reader.en.eq(self.i_go),
            writer.data.eq(Cat(getattr(row, name) for name, _ in self._head)),
        ]
        with m.If(self.i_go):
            m.d.sync += [self.o_some.eq(some), self.o_head.eq(reader.data)]
        if self._flits:
            # Written whole and read by flits: on an ECP5 each block RAM has a few bits of every flit.
            flits = Memory(shape=unsigned(FLIT_BITS), depth=depth * self._flits, init=[], attrs={"ram_style": "block"})
            m.submodules.flits = flits
            reader = flits.read_port()
            for number in range(self._flits):
                writer = flits.write_port()
                m.d.comb += [
                    writer.addr.eq(Cat(Const(self.slot_of(number), len(self.i_slot)), write)), writer.en.eq(push),
                    writer.data.eq(row.row.word_select(number, FLIT_BITS)),
                ]
            m.d.comb += [reader.addr.eq(Cat(self.i_slot, read)), reader.en.eq(self.i_go), self.o_flit.eq(reader.data)]
        return m

    def slot_of(self, number: int) -> int:
        """The low bits of what is left of the packet when flit `number` of the row is asked for."""
        return (self.length - number) % self._flits


class Outbox(wiring.Component):
    """A queue of rows per kind, emptied in turn, each row as one packet (see hw/contract/rows.py).

    A row for no core is dropped as it comes. A packet of F flits takes F + 1 cycles. While a row waits, each other
    kind sends one packet at most.

    Members
    -------
    spikes, errors, weights : strobe and row; the queue must have room, which `ItemGate` and `o_room` see to
    o_sent : by kind, strobe: a row of it has left its queue
    o_room : at least `reserve` weights find room, besides one that comes in this cycle or came in the last
    o : flits
    """

    reserve = 16    # more than are under way in `UpdateEngine`: 6 before its optimiser, one in 9 cycles in there

    def __init__(self, config: ChipConfig):
        self.config = config
        self._kinds = tuple(Kind) if config.training else (Kind.SPIKES,)
        super().__init__({
            **{kind.name.lower(): In(data.StructLayout({"valid": 1, "p": row_layout(config, kind)}))
               for kind in self._kinds},
            "o_sent": Out(len(Kind)), "o_room": Out(1), "o": Out(stream.Signature(RowFlit)),
        })

    def elaborate(self, platform):
        m = Module()
        config, kinds = self.config, self._kinds
        queues = [RowQueue(config, kind, room=2 * self.reserve if kind == Kind.WEIGHTS else config.outbox)
                  for kind in kinds]
        longest = max(queue.length for queue in queues)
        # Flits that are still to go, of a packet of this kind; whether the one that is offered is its first or second.
        left, sent = Signal(range(longest + 1)), Signal(len(kinds))
        header, address = Signal(), Signal()
        go = Signal()
        m.d.comb += [go.eq(self.o.ready | ~self.o.valid), self.o.valid.eq(left != 0), self.o.p.last.eq(left == 1)]
        for number, (kind, queue) in enumerate(zip(kinds, queues, strict=True)):
            m.submodules[kind.name.lower()] = queue
            m.d.comb += [
                queue.i.eq(getattr(self, kind.name.lower())), queue.i_go.eq(go), queue.i_slot.eq(left),
                queue.i_next.eq(sent[number] & (left == 3)),      # its last flit is read, two before it leaves
            ]
        # Flits out of block RAM rest here, and nothing while others are offered.
        word, read = Signal(FLIT_BITS), Signal(len(kinds))
        flits = [_where(read[number], queue.o_flit) for number, queue in enumerate(queues)]
        with m.If(go):
            m.d.sync += [word.eq(reduce(or_, flits)), read.eq(_where(left > 1, sent)), header.eq(0), address.eq(header)]
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)

        ready = Cat(queue.o_some for queue in queues)
        chosen, again = Signal(range(max(len(queues), 2))), Signal()    # again: it is the kind that was sent last
        with m.Switch(chosen):
            for number, (kind, queue) in enumerate(zip(kinds, queues, strict=True)):
                with m.Case(number):
                    # The next kind in turn that has a row, which then stays chosen until its row is sent.
                    with m.If((left == 0) | again | ~queue.o_some):
                        for ahead in reversed(range(1, len(queues) + 1)):
                            other = (number + ahead) % len(queues)
                            with m.If(ready[other]):
                                m.d.sync += [chosen.eq(other), again.eq(ahead == len(queues))]
                    with m.If((left == 0) & queue.o_some):
                        m.d.comb += self.o_sent[kind].eq(1)
                        m.d.sync += [left.eq(queue.length), sent.eq(1 << number), header.eq(1)]
        parts = [word]
        for number, (kind, queue) in enumerate(zip(kinds, queues, strict=True)):
            head, mine = queue.o_head, sent[number]
            pad = Const(0, LAYER_BITS - len(head.layer) + FLIT_BITS - config.nodes - 1 - LENGTH_BITS - LAYER_BITS - 2)
            parts += [
                _where(header & mine, Cat(head.targets, Const(0, 1), Const(queue.length - 1, LENGTH_BITS),
                                          Const(kind, 2), head.layer, pad)),
                _where(address & mine, Cat(head.address, Const(0, ADDRESS_BITS - len(head.address)), head.step)),
            ]
            if kind == Kind.SPIKES:
                parts.append(_where(~header & ~address & mine, head.row))
            if kind == Kind.WEIGHTS:
                waiting = Signal(range(2 * (2 * self.reserve)))
                m.d.sync += [waiting.eq(waiting + queue.o_push - self.o_sent[kind]),
                             self.o_room.eq(waiting < self.reserve)]
        m.d.comb += self.o.p.data.eq(reduce(or_, parts))
        return m


def _where(bit, value):
    """The value where `bit` is set, else zeros."""
    return value & bit.replicate(len(value))


__all__ = ["LENGTH_BITS", "Outbox", "RowFlit", "row_layout"]
