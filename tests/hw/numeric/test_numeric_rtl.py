"""The numeric units in Verilator and Icarus against their Python ``compute``, and the bench against broken units."""

import shutil
from pathlib import Path

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring

from autapse.hw.numeric.accumulator import ExactProductSum, ExactSum
from autapse.hw.numeric.multiplication import Multiplication
from autapse.hw.numeric.rounding import Rounding
from bench import SIMULATORS, run_bench

BENCH = Path(__file__).with_name("bench_numeric.py")

UNITS = [
    pytest.param(Rounding, {"width": 52, "fraction": 24}, id="round-52-24"),
    pytest.param(Rounding, {"width": 92, "fraction": 48}, id="round-92-48"),
    pytest.param(Rounding, {"width": 45, "fraction": 34}, id="round-45-34"),
    pytest.param(Rounding, {"width": 12, "fraction": 24}, id="round-12-24"),
    pytest.param(Rounding, {"width": 13, "fraction": 60}, id="round-13-60"),
    pytest.param(Rounding, {"width": 128, "fraction": 47}, id="round-128-47"),
    pytest.param(Multiplication, {}, id="multiply"),
    pytest.param(Multiplication, {"least": -24, "greatest": 17}, id="multiply-24+17"),
    pytest.param(Multiplication, {"least": -128, "greatest": -3}, id="multiply-128-3"),
    pytest.param(ExactSum, {}, id="sum-52"),
    pytest.param(ExactSum, {"width": 41}, id="sum-41-wraps"),
    pytest.param(ExactProductSum, {}, id="product-sum-92"),
    pytest.param(ExactProductSum, {"width": 81}, id="product-sum-81-wraps"),
]


def simulate(component, *, unit, arguments, sim, count=6000):
    parameters = {"unit": unit.__name__, "arguments": arguments, "count": count}
    run_bench(component, name=unit.__name__.lower(), module=BENCH, sim=sim, parameters=parameters, seed=20)


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize(("unit", "arguments"), UNITS)
def test_unit(unit, arguments, sim):
    simulate(unit(**arguments).create(), unit=unit, arguments=arguments, sim=sim)


class Broken(wiring.Component):
    """A unit with one output changed by ``fault(m, value)``."""

    def __init__(self, unit, *, port, fault):
        self._unit = unit.create()
        self._port = port
        self._fault = fault
        super().__init__(self._unit.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        for port, member in self.signature.members.items():
            if member.flow is wiring.In:
                m.d.comb += getattr(unit, port).eq(getattr(self, port))
            else:
                value = getattr(unit, port)
                m.d.comb += getattr(self, port).eq(self._fault(m, value) if port == self._port else value)
        return m


def late(m, value):
    register = Signal.like(value)
    m.d.sync += register.eq(value)
    return register


def negative_zero(m, value):
    return Mux(value == 0, 1 << 15, value)


def without_least_subnormal(m, value):
    return Mux(value == 1, 0, value)


def always_low(m, value):
    return value & 0


FAULTS = [
    pytest.param(Rounding, {"width": 52, "fraction": 24}, "o", late, id="round-late"),
    pytest.param(Rounding, {"width": 92, "fraction": 48}, "o", negative_zero, id="round-negative-zero"),
    pytest.param(Rounding, {"width": 92, "fraction": 48}, "o_overflow", always_low, id="round-no-overflow"),
    pytest.param(Multiplication, {}, "o", late, id="multiply-late"),
    pytest.param(Multiplication, {}, "o", without_least_subnormal, id="multiply-least-subnormal"),
    pytest.param(Multiplication, {}, "o_overflow", always_low, id="multiply-no-overflow"),
    pytest.param(ExactSum, {}, "o", late, id="sum-late"),
    pytest.param(ExactProductSum, {}, "o", late, id="product-sum-late"),
]


@pytest.mark.parametrize(("unit", "arguments", "port", "fault"), FAULTS)
def test_bench_catches(unit, arguments, port, fault):
    broken = Broken(unit(**arguments), port=port, fault=fault)
    # Icarus compiles in a tenth of Verilator's time, and which of them shows the fault does not matter.
    sim = "icarus" if shutil.which("iverilog") else "verilator"
    with pytest.raises(AssertionError, match="1 of 1 tests failed"):
        simulate(broken, unit=unit, arguments=arguments, sim=sim)
