"""The LIF units in Verilator and Icarus against ``compute``, and the bench against units broken on purpose."""

from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from bench import SIMULATORS, run_bench
from unit_operands import unit_name

BENCH = Path(__file__).with_name("bench_units.py")

UNITS = [
    (LIFForward, {}),
    (LIFForward, {"width": 92, "fraction": 48}),
    (LIFForward, {"width": 45, "fraction": 25}),
    (LIFBackward, {}),
    (LIFBackward, {"width": 61, "fraction": 24}),
]


def simulate(unit, arguments: dict, *, sim: str, component=None, count: int = 4000, gap: float = 0.25, seed: int = 47):
    built = unit(**arguments)
    parameters = {"unit": unit.__name__, "arguments": arguments, "count": count, "gap": gap, "seed": seed}
    run_bench(
        component or built.create(), name=unit_name(built), module=BENCH, sim=sim, parameters=parameters, seed=seed
    )


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize(("unit", "arguments"), UNITS)
def test_unit(unit, arguments, sim):
    simulate(unit, arguments, sim=sim)


def test_back_to_back():
    simulate(LIFBackward, {}, sim="verilator", gap=0, seed=48)


class Broken(wiring.Component):
    """A forward unit with one fault between its outputs and the ports."""

    def __init__(self, fault: str):
        self._fault = fault
        self._unit = LIFForward().create()
        super().__init__(self._unit.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        for name, member in self.signature.members.items():
            inner, outer = getattr(unit, name), getattr(self, name)
            if member.flow is wiring.In:
                m.d.comb += inner.eq(outer)
            elif self._fault == "late":
                m.d.sync += outer.eq(inner)
            else:
                m.d.comb += outer.eq(inner)
        if self._fault == "bit":
            m.d.comb += self.o_leak.eq(unit.o_leak ^ (unit.o_membrane == 0x0001))
        elif self._fault == "flag":
            m.d.comb += self.o_overflow.eq(unit.o_valid & unit.o_overflow & ~unit.o_spike)
        elif self._fault == "extra":
            m.d.comb += self.o_valid.eq(unit.o_valid | ((unit.o_membrane == 0x7BFF) & ~unit.o_valid))
        return m


@pytest.mark.parametrize(("fault", "complaint"), [
    ("bit", "gave ForwardResult"), ("flag", "gave ForwardResult"), ("late", "stated"), ("extra", "died|failed"),
])
def test_bench_finds_a_broken_unit(fault, complaint):
    with pytest.raises(AssertionError, match=complaint):
        simulate(LIFForward, {}, sim="icarus", component=Broken(fault))
