"""The prototype readout in Verilator and Icarus, and what it refuses."""

from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from autapse.hw.autapse.prototypes import PrototypeReadout
from bench import run_bench

BENCH = Path(__file__).with_name("bench_prototypes.py")


def compared(component, *, name: str, sim: str, words: int, codes: int):
    run_bench(component, name=name, module=BENCH, sim=sim,
              parameters={"words": words, "codes": codes, "stall": 0.2, "seed": 51})


@pytest.mark.parametrize(("sim", "words", "codes"), [("verilator", 5, 60), ("icarus", 3, 40)])
def test_nearest_prototype_is_found(sim, words, codes):
    compared(PrototypeReadout(words=words), name=f"prototypes_{words}", sim=sim, words=words, codes=codes)


class Deaf(wiring.Component):
    """The highest bit of every prototype word is taken for 0."""

    def __init__(self, *, words: int):
        self.whole = PrototypeReadout(words=words)
        super().__init__(dict(self.whole.signature.members.items()))

    def elaborate(self, platform):
        m = Module()
        m.submodules.whole = whole = self.whole
        for name, member in self.signature.members.items():
            mine, its = getattr(self, name), getattr(whole, name)
            m.d.comb += mine.eq(its) if member.flow == Out else its.eq(mine)
        m.d.comb += whole.i_word.eq(self.i_word & 0x7FFF)
        return m


def test_bench_sees_a_deaf_bit():
    with pytest.raises(AssertionError, match="code of"):
        compared(Deaf(words=3), name="prototypes_deaf", sim="icarus", words=3, codes=40)


@pytest.mark.parametrize("words", [0, -1, 2.0, True])
def test_refuses_a_code_without_words(words):
    with pytest.raises(ValueError, match="words of the longest code must be a whole number of at least 1, not "):
        PrototypeReadout(words=words)
