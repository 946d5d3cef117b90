"""Rows on their way into a core: taken from packets of the mesh, written to its memories, counted."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.rows import ADDRESS_BITS, FLIT_BITS, LAYER_BITS, STEP_BITS, Kind, packet_flits
from .arrivals import arrival_bits
from .outbox import LENGTH_BITS, RowFlit, row_layout

_Address = data.StructLayout({"address": ADDRESS_BITS, "step": STEP_BITS})


class Inbox(wiring.Component):
    """Takes a packet flit by flit, then offers its row until it is written.

    A packet of F flits takes F + 1 cycles if its memory is free; only a write of the core's own engines to the
    same memory delays it, so that the mesh can always deliver.

    Members
    -------
    i : flits
    o_valid : by kind, a row to be written to `o_address`; held until `i_ready` of its kind
    o_row : the row, as wide as the widest kind
    o_place : of the row's counter (see `Arrivals`), for spikes and errors
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        kinds = tuple(Kind) if config.training else (Kind.SPIKES,)
        self._bits = row_layout(config, kinds[-1])["row"].width
        super().__init__({
            "i": In(stream.Signature(RowFlit)), "o_valid": Out(len(Kind)), "i_ready": In(len(Kind)),
            "o_address": Out(ADDRESS_BITS), "o_row": Out(self._bits), "o_place": Out(arrival_bits(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        first = config.nodes + 1 + LENGTH_BITS
        kind, layer, at = Signal(Kind), Signal(LAYER_BITS), Signal(_Address)
        words = packet_flits(self._bits) - 2
        row, index = Signal(words * FLIT_BITS), Signal(range(max(words, 2)))
        m.d.comb += [
            self.o_address.eq(at.address), self.o_row.eq(row),
            self.o_place.eq(Cat(at.step[:ceil_log2(config.step_slots)], layer[:ceil_log2(max(config.layers, 2))])),
        ]
        with m.FSM():
            with m.State("Header"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [kind.eq(self.i.p.data[first:first + 2]), layer.eq(self.i.p.data[first + 2:]), index.eq(0)]
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
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [row.word_select(index, FLIT_BITS).eq(self.i.p.data), index.eq(index + 1)]
                    with m.If(self.i.p.last):
                        m.next = "Write"
            with m.State("Write"):
                m.d.comb += self.o_valid.eq(1 << kind)
                with m.If((self.o_valid & self.i_ready).any() | (kind >= len(Kind))):
                    m.next = "Header"
        return m
