"""The serial line at stated and at found rates."""

from pathlib import Path

import pytest

pytest.importorskip("amaranth")

from autapse.gateware.uart import Uart, period_of
from bench import SIMULATORS, run_bench

BENCH = Path(__file__).with_name("bench_uart.py")


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("period", [48, 133])
def test_a_stated_rate(period, sim):
    run_bench(Uart(period=period), name=f"uart_{period}", module=BENCH, sim=sim, seed=31,
              parameters={"period": period})


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("cycles", [[20.83, 6.0, 57.3], [5.2, 130.2, 6.25]], ids=str)
def test_a_found_rate(cycles, sim):
    run_bench(Uart(), name="uart_found", module=BENCH, sim=sim, seed=32,
              parameters={"period": None, "cycles": cycles})


def test_periods():
    assert period_of(60e6, 3_000_000) == 160
    assert period_of(18e6, 3_000_000) == 48
    with pytest.raises(ValueError, match=r"a clock of 9.000 MHz makes 3.0 cycles of a bit at 3000000 baud"):
        period_of(9e6, 3_000_000)
    with pytest.raises(ValueError, match="choose another baud"):
        period_of(100e6, 9600)
    with pytest.raises(ValueError, match="^baud must be a number above 0, not 0$"):
        period_of(60e6, 0)
