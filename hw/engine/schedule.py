"""The order in which an engine takes layers and steps."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from .table import LAYER_BITS, STEP_BITS, Widths

__all__ = ["LAYER_BITS", "STEP_BITS", "Item", "Mode", "Schedule"]


class Mode(enum.Enum, shape=2):
    """The order in which layers and steps are taken."""

    FORWARD = 0
    BACKWARD = 1
    GRADIENT = 2


Item = data.StructLayout({
    "active": 1,       # 0: a place in the order without work, only counted
    "step": STEP_BITS,
    "start": 1,        # the first step that this mode takes
    "end": 1,          # the last step of the sample in time
    "first": 1,        # the layer next to the input
    "last": 1,         # the readout layer
    "final": 1,        # the last item of the run
    "layer": LAYER_BITS,
})


class Schedule(wiring.Component):
    """Emits the items of a run in wavefront order, so that neighbours never depend on each other.

    Slot k holds one item per layer, position p first to last. Forward: layer p at step k - p.
    Backward: layer L-1-p at step T-1-(k-p). Item number n = k * L + p then needs from other layers
    only results of item n - L - 1 and of its own layer only those of item n - L: an engine may have
    L - 1 items of a layer sweep in flight without a bubble. Items outside the steps are inactive.
    The gradient takes each layer once. Items of layers that are not present, of which a core of a mesh has no cut, are
    inactive, too: so all cores take items in one order.

    One item every two cycles at most, the first two cycles after `i_start`.
    """

    def __init__(self, config: ChipConfig):
        self._widths = Widths(config)
        super().__init__({
            "i_start": In(1), "i_mode": In(Mode), "i_steps": In(STEP_BITS), "i_layers": In(LAYER_BITS),
            "i_present": In(16, init=0xFFFF),
            "o": Out(stream.Signature(Item)), "o_idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layers, steps = self._widths.layer, self._widths.step
        position, left, layer = Signal(layers), Signal(max(layers, steps) + 1), Signal(layers)
        lag = Signal(range(-(1 << layers), 1 << max(layers, steps) + 1))
        backward, gradient = self.i_mode == Mode.BACKWARD, self.i_mode == Mode.GRADIENT
        top, longest = Signal(layers), Signal(steps)
        m.d.sync += [top.eq(self.i_layers - 1), longest.eq(self.i_steps - 1)]
        final_position = position == top
        item = Signal(Item)
        m.d.comb += self.o.payload.eq(item)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.o_idle.eq(1)
                m.d.sync += [
                    position.eq(0), lag.eq(0), layer.eq(Mux(backward, top, 0)),
                    left.eq(Mux(gradient, 0, longest + top)),  # slots after this one
                ]
                with m.If(self.i_start):
                    m.next = "Make"
            with m.State("Make"):
                m.d.sync += [
                    item.active.eq(self.i_present.bit_select(layer[:4], 1)
                                   & (gradient | ((lag >= 0) & (lag <= longest)))),
                    item.step.eq(Mux(backward, longest - lag, lag)),
                    item.start.eq(lag == 0), item.end.eq(lag == Mux(backward, 0, longest)),
                    item.first.eq(layer == 0), item.last.eq(layer == top),
                    item.final.eq((left == 0) & final_position),
                    item.layer.eq(layer),
                ]
                m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [
                        position.eq(position + 1), lag.eq(lag - 1), layer.eq(Mux(backward, layer - 1, layer + 1))]
                    with m.If(final_position):
                        # From position top back to 0, one slot on.
                        m.d.sync += [position.eq(0), lag.eq(lag + top + 1), layer.eq(Mux(backward, top, 0)),
                                     left.eq(left - 1)]
                    m.next = "Make"
                    with m.If(item.final):
                        m.next = "Idle"
        return m
