"""The parallel line, at clocks below and above what an FTDI chip's FIFO takes."""

from pathlib import Path

import pytest

pytest.importorskip("amaranth")

from autapse.gateware.ft245 import Ft245, cycles_of
from bench import SIMULATORS, run_bench


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("clock_hz", [16_500_000, 80_000_000, 150_000_000])
def test_bytes_cross(clock_hz, sim):
    line = Ft245(clock_hz=clock_hz)
    run_bench(line, name=f"ft245_{clock_hz // 1_000_000}", module=Path(__file__).with_name("bench_ft245.py"), sim=sim,
              seed=51, parameters={"clock_hz": clock_hz, "strobe": line.strobe, "setup": line.setup, "rest": line.rest})


def test_cycles():
    assert [cycles_of(clock, 50.0) for clock in (16.5e6, 20e6, 60e6, 100e6)] == [1, 1, 3, 5]
