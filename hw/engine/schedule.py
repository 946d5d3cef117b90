"""The order in which an engine takes layers and steps."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.program import LAYER_FIELDS, words_of

STEP_BITS = 12


def _layer_layout() -> data.StructLayout:
    return data.StructLayout({name: signed(bits) if is_signed else unsigned(bits)
                              for name, bits, is_signed in LAYER_FIELDS})


class Mode(enum.Enum, shape=2):
    """The order in which layers and steps are taken."""

    FORWARD = 0
    BACKWARD = 1
    GRADIENT = 2


Layer = _layer_layout()

Item = data.StructLayout({
    "active": 1,       # 0: a place in the order without work, only counted
    "step": STEP_BITS,
    "start": 1,        # the first step that this mode takes
    "first": 1,        # the layer next to the input
    "last": 1,         # the readout layer
    "final": 1,        # the last item of the run
    "layer": Layer,
})


def layer_of_row(row) -> dict:
    """Slices of a descriptor row (16-bit words) by field name."""
    fields, at = {}, 0
    for name, bits, is_signed in LAYER_FIELDS:
        part = row[at:at + bits]
        fields[name] = part.as_signed() if is_signed else part
        at += 16 * words_of(bits)
    return fields


class Schedule(wiring.Component):
    """Emits the items of a run in wavefront order, so that neighbours never depend on each other.

    Slot k holds one item per layer, position p first to last. Forward: layer p at step k - p.
    Backward: layer L-1-p at step T-1-(k-p). Item number n = k * L + p then needs from other layers
    only results of item n - L - 1 and of its own layer only those of item n - L: an engine may have
    L - 1 items of a layer sweep in flight without a bubble. Items outside the steps are inactive.
    The gradient takes each layer once.

    One item takes 3 cycles to fetch; engines work on earlier ones meanwhile.
    """

    def __init__(self, *, layers: int, row_bits: int):
        self._layer_bits = max(ceil_log2(max(layers, 2)), 1)
        super().__init__({
            "i_start": In(1), "i_mode": In(Mode), "i_steps": In(STEP_BITS), "i_layers": In(8),
            "r_address": Out(self._layer_bits), "r_data": In(row_bits),
            "o": Out(stream.Signature(Item)), "o_idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        slot, position = Signal(STEP_BITS + 8), Signal(8)
        lag = Signal(range(-256, 1 << STEP_BITS + 8))
        layer = Signal(8)
        backward, gradient = self.i_mode == Mode.BACKWARD, self.i_mode == Mode.GRADIENT
        final_position = position == self.i_layers - 1
        final_slot = slot == Mux(gradient, 0, self.i_steps + self.i_layers - 2)
        item = Signal(Item)
        m.d.comb += [
            lag.eq(slot - position),
            layer.eq(Mux(backward, self.i_layers - 1 - position, position)),
            self.r_address.eq(layer),
            self.o.payload.eq(item),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.o_idle.eq(1)
                with m.If(self.i_start):
                    m.d.sync += [slot.eq(0), position.eq(0)]
                    m.next = "Fetch"
            with m.State("Fetch"):
                m.next = "Load"
            with m.State("Load"):
                m.d.sync += [
                    item.active.eq(gradient | ((lag >= 0) & (lag < self.i_steps))),
                    item.step.eq(Mux(backward, self.i_steps - 1 - lag, lag)),
                    item.start.eq(lag == 0),
                    item.first.eq(layer == 0),
                    item.last.eq(layer == self.i_layers - 1),
                    item.final.eq(final_slot & final_position),
                    *(item.layer[name].eq(value) for name, value in layer_of_row(self.r_data).items()),
                ]
                m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += position.eq(Mux(final_position, 0, position + 1))
                    with m.If(final_position):
                        m.d.sync += slot.eq(slot + 1)
                    m.next = "Fetch"
                    with m.If(item.final):
                        m.next = "Idle"
        return m
