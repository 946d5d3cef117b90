"""The autapse unit and its delay line, in Verilator and Icarus, against integers; and what they refuse."""

from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from autapse.hw.neuron.autapse import AutapseUnit
from autapse.hw.neuron.delay_line import DelayLine
from bench import run_bench

BENCH = Path(__file__).with_name("bench_autapse.py")


class UnitAndLine(wiring.Component):
    """Both of a neuron's parts; the unit's spike enters the line."""

    def __init__(self, *, line: int):
        self.line = line
        super().__init__({
            **dict.fromkeys(("i_start", "i_begin", "i_valid", "i_end", "i_last", "i_soft", "i_strict", "i_spiking",
                             "i_turn", "i_shift", "i_clear"), In(1)),
            **dict.fromkeys(("i_word", "i_leak", "i_threshold", "i_half_width"), In(16)),
            "o_done": Out(1), "o_u": Out(16), "o_spike": Out(1), "o_near": Out(1), "o_overflow": Out(1),
            "o_ready": Out(1), "o_taps": Out(16),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = AutapseUnit()
        m.submodules.line = line = DelayLine(length=self.line)
        for name in ("start", "begin", "valid", "word", "end", "last"):
            m.d.comb += getattr(unit, f"i_{name}").eq(getattr(self, f"i_{name}"))
        for name in ("leak", "threshold", "half_width", "soft", "strict", "spiking"):
            m.d.comb += unit.i_parameters[name].eq(getattr(self, f"i_{name}"))
        for name in ("done", "u", "spike", "near", "overflow", "ready"):
            m.d.comb += getattr(self, f"o_{name}").eq(getattr(unit, f"o_{name}"))
        m.d.comb += [
            line.i_turn.eq(self.i_turn), line.i_shift.eq(self.i_shift), line.i_clear.eq(self.i_clear),
            line.i_spike.eq(unit.o_spike), self.o_taps.eq(line.o_word),
        ]
        return m


def swept(sim: str, *, line: int, networks: int, component=UnitAndLine, name="autapse_unit"):
    run_bench(component(line=line), name=f"{name}_{line}", module=BENCH, sim=sim,
              parameters={"line": line, "networks": networks, "stall": 0.25, "seed": 2026})


@pytest.mark.parametrize(("sim", "line", "networks"), [("verilator", 48, 24), ("icarus", 16, 16)])
def test_sweeps_are_those_of_the_rules(sim, line, networks):
    swept(sim, line=line, networks=networks)


class Leakless(UnitAndLine):
    """As if no leak passed from node to node: what only nodes behind one another show."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.whole = whole = UnitAndLine(line=self.line)
        for name, member in self.signature.members.items():
            mine, its = getattr(self, name), getattr(whole, name)
            if member.flow == Out:
                m.d.comb += mine.eq(its)
            else:
                m.d.comb += its.eq(0 if name == "i_leak" else mine)
        return m


def test_bench_sees_a_neuron_that_forgets_its_leak():
    with pytest.raises(AssertionError, match=r"node \d+ of sweep|cycles, not"):
        swept("icarus", line=16, networks=16, component=Leakless, name="autapse_leakless")


@pytest.mark.parametrize("length", [0, 8, 17, -16, 16.0, True])
def test_line_refuses_a_length_that_is_no_multiple_of_16(length):
    with pytest.raises(ValueError, match=r"length of a delay line must be a positive multiple of 16, not "):
        DelayLine(length=length)
