"""Rows on their way into a core: written to its memories flit by flit, as packets bring them, and counted."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.rows import ADDRESS_BITS, FLIT_BITS, LAYER_BITS, STEP_BITS, Kind, packet_flits
from .arrivals import arrival_bits
from .outbox import LENGTH_BITS, RowFlit, row_layout

_Address = data.StructLayout({"address": ADDRESS_BITS, "step": STEP_BITS})


class Inbox(wiring.Component):
    """Takes a packet flit by flit, and offers each flit of its row until it is written.

    A packet of F flits takes F cycles if its memory is free; only a write of the core's own engines to the
    same memory delays it, so that the mesh can always deliver.

    Members
    -------
    i : flits
    o_valid : by kind, a flit to be written to row `o_address`; held until `i_ready` of its kind
    o_flit, o_part : it; one bit for its place in the row, and `o_last` with the last of a row
    o_place : of the row's counter (see `Arrivals`), for spikes and errors
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        kinds = tuple(Kind) if config.training else (Kind.SPIKES,)
        self.parts = packet_flits(row_layout(config, kinds[-1])["row"].width) - 2
        super().__init__({
            "i": In(stream.Signature(RowFlit)), "o_valid": Out(len(Kind)), "i_ready": In(len(Kind)),
            "o_address": Out(ADDRESS_BITS), "o_flit": Out(FLIT_BITS), "o_part": Out(self.parts), "o_last": Out(1),
            "o_place": Out(arrival_bits(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config, first = self.config, self.config.nodes + 1 + LENGTH_BITS
        kind, layer, at = Signal(Kind), Signal(LAYER_BITS), Signal(_Address)
        part = Signal(self.parts, init=1)
        m.d.comb += [
            self.o_address.eq(at.address), self.o_flit.eq(self.i.p.data), self.o_part.eq(part),
            self.o_last.eq(self.i.p.last),
            self.o_place.eq(Cat(at.step[:ceil_log2(config.step_slots)], layer[:ceil_log2(max(config.layers, 2))])),
        ]
        with m.FSM():
            with m.State("Header"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [kind.eq(self.i.p.data[first:first + 2]), layer.eq(self.i.p.data[first + 2:]), part.eq(1)]
                with m.If(self.i.valid & ~self.i.p.last):
                    m.next = "Address"
            with m.State("Address"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += at.eq(self.i.p.data)
                with m.If(self.i.valid):
                    m.next = "Row"
                    with m.If(self.i.p.last):
                        m.next = "Header"
            with m.State("Row"):
                m.d.comb += [self.o_valid.eq(Mux(self.i.valid, 1 << kind, 0)),
                             self.i.ready.eq((self.i_ready & (1 << kind)).any() | (kind >= len(Kind)))]
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += part.eq(part << 1)
                    with m.If(self.i.p.last):
                        m.next = "Header"
        return m

    def words(self):
        """A bit for each binary16 of a row: whether it is of the flit."""
        return Cat(bit.replicate(2) for bit in self.o_part)[:self.config.lanes]
