"""Rows on their way out of a core: queued by engine, sent as packets of the mesh."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from ..contract.rows import ADDRESS_BITS, FLIT_BITS, LAYER_BITS, STEP_BITS, Kind, packet_flits

LENGTH_BITS = 4     # of a header: flits of the packet less one

RowFlit = data.StructLayout({"data": FLIT_BITS, "last": 1})


def row_layout(config: ChipConfig, kind: Kind) -> data.StructLayout:
    """A row with its way: the cores that it goes to, their layer and step that wait for it, its address there."""
    bits = config.lanes if kind == Kind.SPIKES else 16 * config.lanes
    return data.StructLayout({"targets": config.nodes, "layer": LAYER_BITS, "step": STEP_BITS,
                              "address": ADDRESS_BITS, "row": bits})


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
        config, nodes = self.config, self.config.nodes
        queues = []
        for kind in self._kinds:
            name, depth = kind.name.lower(), 2 * self.reserve if kind == Kind.WEIGHTS else config.outbox
            port = getattr(self, name)
            m.submodules[name] = queue = SyncFIFOBuffered(width=row_layout(config, kind).size, depth=depth)
            m.d.comb += [queue.w_data.eq(port.p), queue.w_en.eq(port.valid & port.p.targets.any())]
            queues.append(queue)
            if kind == Kind.WEIGHTS:
                m.d.sync += self.o_room.eq(queue.level < depth - self.reserve)
        widest = row_layout(config, self._kinds[-1])["row"].width
        flits = packet_flits(widest)
        # Kept as the flits that are still to go, the next one lowest.
        packet, left, chosen = Signal(flits * FLIT_BITS), Signal(range(flits + 1)), Signal(range(max(len(queues), 2)))
        m.d.comb += [self.o.valid.eq(left != 0), self.o.p.data.eq(packet[:FLIT_BITS]), self.o.p.last.eq(left == 1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [packet.eq(packet[FLIT_BITS:]), left.eq(left - 1)]
        ready = Cat(queue.r_rdy for queue in queues)
        again = Signal()        # chosen is the kind that was sent last
        with m.Switch(chosen):
            for number, (kind, queue) in enumerate(zip(self._kinds, queues, strict=True)):
                with m.Case(number):
                    # The next kind in turn that has a row, which then stays chosen until its row is sent.
                    with m.If((left == 0) | again | ~queue.r_rdy):
                        for ahead in reversed(range(1, len(queues) + 1)):
                            other = (number + ahead) % len(queues)
                            with m.If(ready[other]):
                                m.d.sync += [chosen.eq(other), again.eq(ahead == len(queues))]
                    layout = row_layout(config, kind)
                    length = packet_flits(layout["row"].width)
                    with m.If((left == 0) & queue.r_rdy):
                        entry = data.View(layout, queue.r_data)
                        pad = Const(0, FLIT_BITS - nodes - 1 - LENGTH_BITS - LAYER_BITS - 2)
                        m.d.comb += [queue.r_en.eq(1), self.o_sent[kind].eq(1)]
                        m.d.sync += [
                            left.eq(length),
                            packet.eq(Cat(entry.targets, Const(0, 1), Const(length - 1, LENGTH_BITS),
                                          Const(kind, 2), entry.layer, pad, entry.address, entry.step, entry.row)),
                        ]
        return m


__all__ = ["LENGTH_BITS", "Outbox", "RowFlit", "row_layout"]
