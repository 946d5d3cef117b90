"""The sequenced core's exact sum and its rounding, in Verilator and Icarus, against integers."""

from pathlib import Path

import pytest

from autapse.hw.sequenced.arithmetic import ExactMultiplySum, SumRounding
from bench import SIMULATORS, run_bench

BENCH = Path(__file__).with_name("bench_arithmetic.py")
UNITS = {"sum": ExactMultiplySum, "rounding": SumRounding}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("sim", "width"), [("verilator", 97), ("icarus", 92)])
def test_arithmetic_is_exact(unit, sim, width):
    assert sim in SIMULATORS
    run_bench(UNITS[unit](width=width), name=f"sequenced_{unit}_{width}", module=BENCH, sim=sim,
              parameters={"unit": unit, "width": width, "seed": 67, "count": 4000 if sim == "verilator" else 1500})
