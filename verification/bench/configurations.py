"""The fixed configurations whose cells and clock are recorded: chips, lanes and units."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...gateware.chip import Chip, core_of
from ...gateware.synthesis import demo_config
from ...hw.engine.loss import MeanSquaredError
from ...hw.engine.optimiser import MomentumDescent
from ...hw.neuron.lif import LIFForward
from ...hw.neuron.lif_backward import LIFBackward
from ...hw.sequenced.preset import up5k_config
from .ieee import ExactWords, RoundingSum

__all__ = ["CONFIGURATIONS", "LANES", "QUICK", "REFERENCES", "Framed"]

LANES = 8
"""Lanes of the configurations that compare one kind with another."""


class Framed(wiring.Component):
    """A unit with its inputs in one long shift register and registers on its outputs.

    So a unit of any width has few pins, and no path to a pin counts. The frame is registers, and no cell of logic.

    Parameters
    ----------
    unit : wiring.Component
        Its ports are signals.

    Members
    -------
    i : :py:`In(1)`
        Fills the inputs, bit by bit.
    o_x : :py:`Out(…)`
        The unit's output ``o_x``, a cycle later.
    """

    def __init__(self, unit: wiring.Component):
        self._unit = unit
        outputs = {name: member for name, member in unit.signature.members.items() if member.flow is Out}
        super().__init__({"i": In(1), **{name: Out(member.shape) for name, member in outputs.items()}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        bits = []
        for name, member in unit.signature.members.items():
            port = getattr(unit, name)
            register = Signal(len(port), name=f"register_{name}", reset_less=True)
            if member.flow is In:
                bits.append(register)
                m.d.comb += port.eq(register)
            else:
                m.d.sync += register.eq(port)
                m.d.comb += getattr(self, name).eq(register)
        chain = Cat(bits)
        m.d.sync += chain.eq(Cat(self.i, chain))
        return m


def _chip(*, shared: bool) -> Chip:
    return Chip(demo_config(lanes=LANES, units=1, shared=shared))


CONFIGURATIONS = {
    "core, 8+8+8 lanes": (lambda: core_of(demo_config(lanes=LANES, units=1, shared=False)), "ecp5-85f"),
    "core, 8+8+8 lanes, speed grade 8": (lambda: core_of(demo_config(lanes=LANES, units=1, shared=False)),
                                         "ecp5-85f-8"),
    "chip, sequenced core": (lambda: Chip(up5k_config()), "up5k"),
    "chip, 8+8+8 lanes": (lambda: _chip(shared=False), "ecp5-85f"),
    "chip, 8 lanes shared": (lambda: _chip(shared=True), "ecp5-85f"),
    "8 lanes, rounding": (lambda: Framed(RoundingSum().create(lanes=LANES)), "ecp5-85f"),
    "8 lanes, exact": (lambda: Framed(ExactWords(lanes=LANES, products=False)), "ecp5-85f"),
    "8 product lanes, rounding": (lambda: Framed(RoundingSum(products=True).create(lanes=LANES)), "ecp5-85f"),
    "8 product lanes, exact": (lambda: Framed(ExactWords(lanes=LANES, products=True)), "ecp5-85f"),
    "LIF forward": (lambda: Framed(LIFForward().create()), "ecp5-85f"),
    "LIF backward": (lambda: Framed(LIFBackward().create()), "ecp5-85f"),
    "mean squared error": (lambda: Framed(MeanSquaredError().create()), "ecp5-85f"),
    "momentum descent": (lambda: Framed(MomentumDescent().create()), "ecp5-85f"),
}
"""{name: (what makes the component, target)}"""

QUICK = ("8 lanes, rounding", "8 lanes, exact", "8 product lanes, rounding", "8 product lanes, exact")
"""Configurations of a quick run."""

REFERENCES = {
    "chip, 8+8+8 lanes": "core, 8+8+8 lanes",
    "chip, 8 lanes shared": "chip, 8+8+8 lanes", "8 lanes, exact": "8 lanes, rounding",
    "8 product lanes, exact": "8 product lanes, rounding",
}
"""What a configuration is compared with; the first of its target where it is not named."""
