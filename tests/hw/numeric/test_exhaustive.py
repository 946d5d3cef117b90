"""The exhaustive test finds a single wrong case; run in full (marker ``exhaustive``, minutes), it finds none."""

import os
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from autapse.hw.numeric.multiplication import Multiplication
from autapse.verification.exhaustive.__main__ import main
from autapse.verification.exhaustive.bank import ROUNDINGS, build
from autapse.verification.exhaustive.run import FINITE, CaseError, run_multiplication, run_rounding
from bench import simulator_or_skip

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "build" / "exhaustive"


class OneCaseWrong(wiring.Component):
    """A unit whose least output bit is inverted for one combination of inputs."""

    def __init__(self, unit, **case: int):
        self._unit = unit
        self._inner = unit.create()
        self._case = case
        super().__init__(self._inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = self._inner
        wiring.connect(m, wiring.flipped(self), self._inner)
        hit = Signal()
        m.d.comb += hit.eq(1)
        for port, value in self._case.items():
            with m.If(getattr(self, port) != value):
                m.d.comb += hit.eq(0)
        for _ in range(self._unit.latency):
            later = Signal()
            m.d.sync += later.eq(hit)
            hit = later
        m.d.comb += self.o.eq(self._inner.o ^ hit)
        return m


@pytest.fixture(scope="module")
def broken_program():
    simulator_or_skip("verilator")
    rounding = ROUNDINGS["broad"]
    # Just below the tie between 1 and the next word: one unit of 2^-48.
    value = (1 << 48) + (1 << 37) - 1
    return build(
        lanes=8,
        folder=FOLDER,
        multiplier=OneCaseWrong(Multiplication(), a=0x0003, b=0x9234),
        rounders={"broad": OneCaseWrong(rounding, i=value)},
    )


@pytest.mark.timeout(300)
def test_one_wrong_pair_is_found(broken_program):
    assert run_multiplication(broken_program, rows=3)[0] == 3 * FINITE
    right, _ = Multiplication().compute(0x0003, 0x9234)
    wrong = f"^Gateware and oracle differ:\ndiffers a 0003 b 9234 got {right ^ 1:05x} expected {right:05x}$"
    with pytest.raises(CaseError, match=wrong):
        run_multiplication(broken_program, rows=5, jobs=2)


@pytest.mark.timeout(300)
def test_one_wrong_value_is_found(broken_program):
    wrong = "^Gateware and oracle differ:\ndiffers broad value 00001001fffffffff got 03c01 expected 03c00$"
    with pytest.raises(CaseError, match=wrong):
        run_rounding(broken_program)


def test_wrong_ranges():
    with pytest.raises(ValueError, match=r"^Lanes must be at least 8 and divide 63488, not 63$"):
        build(lanes=63, folder=FOLDER)
    with pytest.raises(ValueError, match=r"^Rows must be 1 to 63488, not 0$"):
        run_multiplication(FOLDER, rows=0)
    with pytest.raises(ValueError, match=r"^Jobs must be 1 to the 2 rows, not 3$"):
        run_multiplication(FOLDER, rows=2, jobs=3)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_every_pair_and_every_tie(tmp_path):
    simulator_or_skip("verilator")
    record = tmp_path / "exhaustive.md"
    assert main(["--jobs", str(os.cpu_count() or 1), "--folder", str(FOLDER), "--record", str(record)]) == 0
    assert f"{FINITE**2:,}" in record.read_text()
